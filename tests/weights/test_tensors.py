"""Files of weights, recognized by content: honest ones give what was saved, hostile ones an error and nothing else."""

from __future__ import annotations

import argparse
import collections
import os
import struct
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from swath.errors import DataError
from swath.weights import write_weights
from swath.weights.tensors import read_metadata, read_tensors

LAYOUTS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "stream"])


def saved(path, value, *, zipped=True):
    torch.save(value, path, _use_new_zipfile_serialization=zipped)
    return path


def assert_read(path, wanted):
    found = read_tensors(path).tensors
    assert list(found) == list(wanted)
    for name, tensor in wanted.items():
        assert found[name].dtype == tensor.dtype
        assert not found[name].requires_grad
        assert torch.equal(found[name], tensor)


class TestSafetensors:
    def test_they_come_with_what_they_say(self, tmp_path):
        save_file({"a": torch.arange(3)}, tmp_path / "w.pth", {"license": "mit"})
        file = read_tensors(tmp_path / "w.pth")
        assert file.tensors["a"].tolist() == [0, 1, 2]
        assert file.metadata == read_metadata(tmp_path / "w.pth") == {"license": "mit"}

    @given(metadata=st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=20), max_size=6))
    @settings(max_examples=30)
    def test_weights_come_back_and_the_same_ones_are_the_same_bytes(self, tmp_path_factory, metadata):
        folder = tmp_path_factory.mktemp("weights")
        tensors = {"a": torch.arange(5.0), "b.c": torch.ones(2, 3, dtype=torch.int64)}
        write_weights(folder / "1", tensors, metadata)
        write_weights(folder / "2", tensors, dict(reversed(metadata.items())))
        assert (folder / "1").read_bytes() == (folder / "2").read_bytes()
        with safe_open(folder / "1", framework="pt") as held:
            assert (held.metadata() or {}) == metadata
            assert torch.equal(held.get_tensor("a"), tensors["a"])
            assert torch.equal(held.get_tensor("b.c"), tensors["b.c"])

    @pytest.mark.parametrize(
        "raw",
        [b"", b"x", b"<html>404</html>", bytes(100), struct.pack("<Q", 2**62) + b"{}", struct.pack("<Q", 2) + b"{}x",
         struct.pack("<Q", 60) + b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}     ',
         b"cos\nsystem\n(S'true'\ntR."],
    )  # fmt: skip
    def test_anything_else_is_refused(self, tmp_path, raw):
        path = tmp_path / "w.safetensors"
        path.write_bytes(raw)
        with pytest.raises(DataError, match="holds no weights that can be read"):
            read_tensors(path)
        assert read_metadata(path) == {}

    def test_a_missing_file(self, tmp_path):
        with pytest.raises(DataError, match=r"cannot read the weights .*No such file"):
            read_tensors(tmp_path / "gone")


class TestCheckpoint:
    @LAYOUTS
    def test_a_network_s_state_dict(self, tmp_path, zipped):
        network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8, 2))
        assert_read(saved(tmp_path / "w.pth", network.state_dict(), zipped=zipped), network.state_dict())

    @LAYOUTS
    def test_views_scalars_types_and_nothing(self, tmp_path, zipped):
        base = torch.arange(24.0)
        made = {
            "whole": base,
            "part": base[3:9],
            "turned": base.reshape(4, 6).T,
            "scalar": torch.tensor(7),
            "empty": torch.empty(0, 3),
            "half": base.to(torch.bfloat16),
            "bytes": base.to(torch.uint8),
        }
        assert_read(saved(tmp_path / "w.pth", made, zipped=zipped), made)

    @LAYOUTS
    def test_parameters(self, tmp_path, zipped):
        made = collections.OrderedDict(a=nn.Parameter(torch.randn(3)), b=nn.Parameter(torch.ones(2), False))
        assert_read(saved(tmp_path / "w.pth", made, zipped=zipped), made)

    @LAYOUTS
    @pytest.mark.parametrize("key", ["state_dict", "model"])
    def test_a_state_dict_in_a_larger_checkpoint(self, tmp_path, zipped, key):
        network = nn.Linear(4, 4)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
        network(torch.ones(1, 4)).sum().backward()
        optimizer.step()
        made = {"epoch": 3, key: network.state_dict(), "optimizer": optimizer.state_dict(), "none": None}
        assert_read(saved(tmp_path / "w.pth", made, zipped=zipped), network.state_dict())

    def test_the_name_does_not_matter(self, tmp_path):
        path = saved(tmp_path / "w.safetensors", {"a": torch.ones(2)})
        assert read_tensors(path).tensors["a"].tolist() == [1, 1]

    @LAYOUTS
    @pytest.mark.parametrize(
        "value",
        [torch.ones(2), [torch.ones(2)], {}, {1: torch.ones(2)}, {"a": 1}, {"a": {"b": 1}}, "text", None],
        ids=str,
    )
    def test_what_is_no_state_dict(self, tmp_path, zipped, value):
        with pytest.raises(DataError, match="holds"):
            read_tensors(saved(tmp_path / "w.pth", value, zipped=zipped))

    @pytest.mark.filterwarnings("ignore:Validating sparse")
    def test_a_tensor_that_is_not_plain_numbers(self, tmp_path):
        with pytest.raises(DataError, match="holds more than tensors"):
            read_tensors(saved(tmp_path / "w.pth", {"a": torch.ones(2).to_sparse()}))

    @LAYOUTS
    def test_cut_files(self, tmp_path, zipped):
        whole = saved(tmp_path / "w.pth", {"a": torch.randn(50), "b": torch.ones(3)}, zipped=zipped).read_bytes()
        for length in range(4, len(whole) - 1, max(1, len(whole) // 60)):
            (tmp_path / "cut.pth").write_bytes(whole[:length])
            with pytest.raises(DataError):
                read_tensors(tmp_path / "cut.pth")


class Runs:
    """What pickle would execute."""

    def __init__(self, what, *arguments):
        self.what, self.arguments = what, arguments

    def __reduce__(self):
        return self.what, self.arguments


def archive(path, program, blocks=()):
    """A checkpoint with any program and blocks."""
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("archive/data.pkl", program)
        made.writestr("archive/byteorder", b"little")
        made.writestr("archive/version", b"3\n")
        for key, block in blocks:
            made.writestr(f"archive/data/{key}", block)
    return path


def tensor_program(*, size=b"K\x02", stride=b"K\x01", offset=b"K\x00", length=b"K\x02", key=b"0"):
    """The program of ``{"a": tensor}`` with one dimension, as torch writes it."""

    def text(value):
        return b"X" + struct.pack("<I", len(value)) + value

    storage = b"(" + text(b"storage") + b"ctorch\nFloatStorage\n" + text(key) + text(b"cpu") + length + b"tQ"
    hooks = b"ccollections\nOrderedDict\n)R"
    view = storage + offset + size + b"\x85" + stride + b"\x85" + b"\x89" + hooks
    return b"\x80\x02}" + text(b"a") + b"ctorch._utils\n_rebuild_tensor_v2\n(" + view + b"tRs."


BLOCK = [("0", np.array([1, 2], "<f4").tobytes())]


class TestHostile:
    @LAYOUTS
    @pytest.mark.parametrize(
        "what", [os.system, eval, exec, open, __import__, getattr, torch.load], ids=lambda f: f.__name__
    )
    def test_nothing_is_ever_run(self, tmp_path, zipped, what):
        proof = tmp_path / "proof"
        arguments = {
            os.system: (f"touch {proof}",),
            eval: (f"open({str(proof)!r}, 'w')",),
            exec: (f"open({str(proof)!r}, 'w')",),
            open: (str(proof), "w"),
            __import__: ("os",),
            getattr: ("x", "upper"),
            torch.load: (str(tmp_path / "other.pth"),),
        }[what]
        path = saved(tmp_path / "w.pth", {"a": torch.ones(1), "b": Runs(what, *arguments)}, zipped=zipped)
        with pytest.raises(DataError, match="torch's restricted reader refuses it") as caught:
            read_tensors(path)
        assert "convert it to safetensors" in caught.value.fix
        assert "\n" not in str(caught.value)
        assert not proof.exists()

    def test_the_same_file_would_run_if_it_were_unpickled(self, tmp_path):
        proof = tmp_path / "proof"
        path = saved(tmp_path / "w.pth", {"b": Runs(os.system, f"touch {proof}")})
        torch.load(path, weights_only=False)
        assert proof.exists()

    @pytest.mark.parametrize("value", [nn.Linear(2, 2), {"model": {}, "args": argparse.Namespace(lr=1)}], ids=str)
    def test_objects_of_other_programs_are_refused(self, tmp_path, value):
        with pytest.raises(DataError) as caught:
            read_tensors(saved(tmp_path / "w.pth", value))
        assert "convert it to safetensors" in caught.value.fix

    def test_a_user_s_leave_to_unpickle_is_not_taken(self, tmp_path, monkeypatch):
        proof = tmp_path / "proof"
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
        path = saved(tmp_path / "w.pth", {"b": Runs(os.system, f"touch {proof}")})
        with pytest.raises(DataError):
            read_tensors(path)
        assert not proof.exists()

    @pytest.mark.parametrize(
        "program",
        [
            b"cos\nsystem\n(S'touch PROOF'\ntR.",
            b"\x80\x02cposix\nsystem\nX\x0b\x00\x00\x00touch PROOF\x85R.",
            b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x0btouch PROOF\x85R.",  # STACK_GLOBAL
            b"(S'touch PROOF'\nios\nsystem\n.",  # INST
            b"\x80\x02(cos\nsystem\nX\x0b\x00\x00\x00touch PROOFo.",  # OBJ
            b"\x80\x02cos\nsystem\n)\x81.",  # NEWOBJ
            b"\x80\x02\x82\x01.",  # EXT1
            b"\x80\x02ctorch.storage\n_load_from_bytes\nU\x01x\x85R.",
            b"\x80\x02K\x01Q.",
            b"\x80\x02)q\x00" + b"".join(b"h%ch%c\x86q%c" % (n, n, n + 1) for n in range(60)) + b".",
            b"",
            b".",
            b"\x80\x02}",
            b"\x80\x02s.",
            b"\xff\xfe",
        ],
    )
    def test_programs_beyond_state_dicts(self, tmp_path, monkeypatch, program):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(DataError):
            read_tensors(archive(tmp_path / "w.pth", program))
        assert not (tmp_path / "PROOF").exists()

    def test_the_program_made_here_is_the_real_thing(self, tmp_path):
        assert_read(archive(tmp_path / "w.pth", tensor_program(), BLOCK), {"a": torch.tensor([1.0, 2.0])})

    @pytest.mark.parametrize(
        "wrong",
        [
            {"size": b"K\x03"},
            {"offset": b"K\x01"},
            {"offset": b"J\xff\xff\xff\xff"},
            {"stride": b"J\xff\xff\xff\xff"},
            {"stride": b"K\x09"},
            {"size": b"J\xff\xff\xff\xff"},
            {"length": b"\x8a\x08" + b"\xff" * 7 + b"\x7f"},  # 2 ** 63 - 1
            {"key": b"1"},
            {"key": b"../../etc/passwd"},
            {"length": b"N"},
        ],
        ids=str,
    )
    def test_tensors_that_lie_about_their_size(self, tmp_path, wrong):
        with pytest.raises(DataError):
            read_tensors(archive(tmp_path / "w.pth", tensor_program(**wrong), BLOCK))
