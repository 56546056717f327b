"""Property tests must not fail because the machine is busy."""

from hypothesis import settings

settings.register_profile("fastmom", deadline=None)
settings.load_profile("fastmom")
