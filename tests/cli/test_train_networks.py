"""``swath networks`` as a user types it."""

from __future__ import annotations

from tests.cli.conftest import Swath


def test_named_networks_are_a_table(swath: Swath) -> None:
    ran = swath("networks", "resnet18", "vit_small", "--size", "96", "--bands", "13")
    assert ran.code == 0, ran.err
    header, first, second = ran.out.splitlines()
    assert "MACs at 96 px" in header
    assert first.split()[:2] == ["resnet18", "11.21"]
    assert first.endswith("32 px")
    assert "Grad-CAM 6 x 6" in second
    assert second.endswith("multiples of 16")
    assert header.index("class maps") == second.index("Grad-CAM")


def test_all_of_them_are_listed_and_those_that_do_not_fit_say_why(swath: Swath) -> None:
    ran = swath("networks", "--size", "24")
    assert ran.code == 0, ran.err
    lines = {line.split()[0]: line for line in ran.out.splitlines()[1:]}
    assert "resnet50 needs patches of 32 px at least" in lines["resnet50"]
    assert "tiles of 16 x 16" in lines["vit_small"]
    assert "exact" in lines["patchnet"]


def test_a_network_asked_for_by_name_must_exist(swath: Swath) -> None:
    ran = swath("networks", "resnet51")
    assert ran.code == 2
    assert "did you mean resnet50" in ran.err
    ran = swath("networks", "")
    assert ran.code == 2
    assert "networks: field 'name'" in ran.err
