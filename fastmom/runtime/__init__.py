"""What every run needs and no algorithm owns: visiting rows, threads, validation, files, progress."""
