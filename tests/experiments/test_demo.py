"""The demonstration keeps its word: the network is recovered, certified and right."""

import json

import pytest

from fastmom.experiments.demo import NETWORKS, run_demo


@pytest.mark.parametrize("network", NETWORKS)
def test_the_shipped_networks_are_recovered(network):
    lines = []
    outcome = run_demo(network, starts=2, say=lines.append)
    assert outcome["fit"]["success"] and outcome["fit"]["certificate"]["certified"]
    assert outcome["max_error"] < 1e-11
    assert len(outcome["rival"]["residuals"]) == 2
    assert any("recovered" in line for line in lines)
    assert json.loads(json.dumps(outcome, allow_nan=False)) == outcome


def test_it_is_silent_unless_asked(capsys):
    run_demo("wine", starts=1)
    assert capsys.readouterr() == ("", "")


def test_an_unknown_network_is_refused():
    with pytest.raises(ValueError, match="network: 'iris' is not one of"):
        run_demo("iris")
