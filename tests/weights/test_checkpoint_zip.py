"""Torch checkpoints as data: honest ones give what torch gives, hostile ones give an error and nothing else."""

from __future__ import annotations

import collections
import io
import os
import pickle
import pickletools
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from swath.errors import DataError
from swath.weights.checkpoint_zip import read_checkpoint_file
from swath.weights.tensors import read_weight_file

LAYOUTS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "stream"])


def saved(path, value, *, zipped=True):
    torch.save(value, path, _use_new_zipfile_serialization=zipped)
    return path


def assert_as_torch(path, inside=lambda value: value):
    ours, theirs = read_checkpoint_file(path), inside(torch.load(path, weights_only=True))
    assert list(ours) == list(theirs)
    for name, tensor in theirs.items():
        assert ours[name].dtype == tensor.dtype
        assert ours[name].shape == tensor.shape
        assert torch.equal(ours[name], tensor.data)


class TestHonest:
    @LAYOUTS
    def test_a_network_s_state_dict(self, tmp_path, zipped):
        network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8, 2))
        assert_as_torch(saved(tmp_path / "w.pth", network.state_dict(), zipped=zipped))

    @LAYOUTS
    def test_every_type_of_number(self, tmp_path, zipped):
        kinds = ("float32", "float16", "bfloat16", "float64", "int64", "int32", "int16", "int8", "uint8")
        made = {kind: torch.arange(12).to(getattr(torch, kind)).reshape(3, 4) for kind in kinds}
        assert_as_torch(saved(tmp_path / "w.pth", made, zipped=zipped))

    @LAYOUTS
    def test_views_scalars_and_nothing(self, tmp_path, zipped):
        base = torch.arange(24.0)
        made = {
            "whole": base,
            "part": base[3:9],
            "turned": base.reshape(4, 6).T,
            "strided": base[::5],
            "scalar": torch.tensor(7),
            "empty": torch.empty(0, 3),
            "channels_last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        }
        assert_as_torch(saved(tmp_path / "w.pth", made, zipped=zipped))

    @LAYOUTS
    def test_parameters(self, tmp_path, zipped):
        made = collections.OrderedDict(a=nn.Parameter(torch.randn(3)), b=nn.Parameter(torch.ones(2), False))
        assert_as_torch(saved(tmp_path / "w.pth", made, zipped=zipped))

    @LAYOUTS
    @pytest.mark.parametrize("key", ["state_dict", "model"])
    def test_a_state_dict_in_a_larger_checkpoint(self, tmp_path, zipped, key):
        made = {"epoch": 3, "best": 0.5, key: {"a": torch.randn(4)}, "name": "x", "done": True, "none": None}
        path = saved(tmp_path / "w.pth", made, zipped=zipped)
        assert_as_torch(path, inside=lambda value: value[key])

    @LAYOUTS
    def test_an_optimizer_beside_it_is_passed_over(self, tmp_path, zipped):
        network = nn.Linear(4, 4)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
        network(torch.ones(1, 4)).sum().backward()
        optimizer.step()
        whole = {"state_dict": network.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}
        assert_as_torch(saved(tmp_path / "w.pth", whole, zipped=zipped), lambda value: value["state_dict"])

    def test_the_name_does_not_matter(self, tmp_path):
        path = saved(tmp_path / "w.safetensors", {"a": torch.ones(2)})
        assert read_weight_file(path).tensors["a"].tolist() == [1, 1]

    @given(
        shape=st.lists(st.integers(0, 5), max_size=4),
        kind=st.sampled_from([torch.float32, torch.float16, torch.int64, torch.uint8]),
        zipped=st.booleans(),
    )
    def test_any_shape(self, tmp_path_factory, shape, kind, zipped):
        tensor = (torch.rand(shape) * 100).to(kind)
        assert_as_torch(saved(tmp_path_factory.mktemp("w") / "w.pth", {"t": tensor}, zipped=zipped))


def archive(path, program, blocks=(), *, root="archive", compression=zipfile.ZIP_STORED, more=()):
    """A checkpoint with any program and blocks."""
    with zipfile.ZipFile(path, "w", compression) as made:
        made.writestr(f"{root}/data.pkl", program)
        for key, block in blocks:
            made.writestr(f"{root}/data/{key}", block)
        for name, content in more:
            made.writestr(name, content)
    return path


class Runs:
    """What pickle would execute."""

    def __init__(self, what, *arguments):
        self.what, self.arguments = what, arguments

    def __reduce__(self):
        return self.what, self.arguments


def tensor_program(
    size=b"K\x02",
    stride=b"K\x01",
    offset=b"K\x00",
    length=b"K\x02",
    kind=b"FloatStorage",
    key=b"0",
    name=b"a",
):
    """The program of ``{name: tensor}`` with one dimension, as torch writes it."""
    text = lambda value: b"X" + struct.pack("<I", len(value)) + value  # noqa: E731
    storage = b"(" + text(b"storage") + b"ctorch\n" + kind + b"\n" + text(key) + text(b"cpu") + length + b"tQ"
    hooks = b"ccollections\nOrderedDict\n)R"
    view = storage + offset + size + b"\x85" + stride + b"\x85" + b"\x89" + hooks
    return b"\x80\x02}" + text(name) + b"ctorch._utils\n_rebuild_tensor_v2\n(" + view + b"tRs."


BLOCK = [("0", np.array([1, 2], "<f4").tobytes())]


class TestHostile:
    def test_the_program_made_here_is_the_real_thing(self, tmp_path):
        assert_as_torch(
            archive(tmp_path / "w.pth", tensor_program(), BLOCK, more=[("archive/version", b"3\n")])
        )

    @LAYOUTS
    @pytest.mark.parametrize(
        ("what", "named"),
        [(os.system, "system"), (eval, "eval"), (exec, "exec"), (open, "open"), (__import__, "__import__"),
         (getattr, "getattr"), (torch.load, "load"), (bytearray, "bytearray")],
    )  # fmt: skip
    def test_nothing_is_ever_run(self, tmp_path, zipped, what, named):
        proof = tmp_path / "proof"
        arguments = {
            os.system: (f"touch {proof}",),
            eval: (f"open({str(proof)!r}, 'w')",),
            exec: (f"open({str(proof)!r}, 'w')",),
            open: (str(proof), "w"),
            __import__: ("os",),
            getattr: ("x", "upper"),
            torch.load: (str(tmp_path / "other.pth"),),
            bytearray: (2**40,),
        }[what]
        path = saved(tmp_path / "w.pth", {"a": torch.ones(1), "b": Runs(what, *arguments)}, zipped=zipped)
        with pytest.raises(DataError, match=f"holds more than tensors: it asks for '.*{named}'") as caught:
            read_checkpoint_file(path)
        assert "convert it to safetensors" in caught.value.fix
        assert not proof.exists()

    def test_the_same_file_would_run_if_it_were_unpickled(self, tmp_path):
        proof = tmp_path / "proof"
        path = saved(tmp_path / "w.pth", {"b": Runs(os.system, f"touch {proof}")})
        torch.load(path, weights_only=False)
        assert proof.exists()

    @pytest.mark.parametrize(
        "program",
        [
            b"cos\nsystem\n(S'true'\ntR.",
            b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R.",
            b"\x80\x02cbuiltins\neval\nX\x01\x00\x00\x001\x85R.",
            b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.",  # STACK_GLOBAL
            b"(S'true'\nios\nsystem\n.",  # INST
            b"\x80\x02(cos\nsystem\nX\x04\x00\x00\x00trueo.",  # OBJ
            b"\x80\x02cos\nsystem\n)\x81.",  # NEWOBJ
            b"\x80\x02\x82\x01.",  # EXT1
            b"\x80\x02ctorch\nFloatStorage\n)R.",  # a name that may be named, but not called
            b"\x80\x02ccollections\nOrderedDict\nK\x01\x85R.",
            b"\x80\x02ccollections\nOrderedDict\n)Rccollections\nOrderedDict\nb.",
            b"\x80\x02ccollections\nOrderedDict.__init__\n)R.",
            b"\x80\x02ctorch._utils\n_rebuild_parameter\n)R.",
            b"\x80\x02ctorch\nUntypedStorage\n.",
            b"\x80\x02ctorch.storage\n_load_from_bytes\nU\x01x\x85R.",
            b"P0\n.",  # PERSID
            b"\x80\x02K\x01Q.",
            b"\x80\x02}K\x01K\x02\x86K\x03s.",  # a key that is a tuple
            b"\x80\x02K\x01K\x02a.",
            b"\x80\x02K\x01K\x02K\x03s.",
        ],
    )
    def test_programs_beyond_state_dicts(self, tmp_path, program):
        with pytest.raises(DataError, match="holds more than tensors"):
            read_checkpoint_file(archive(tmp_path / "w.pth", program))

    @pytest.mark.parametrize(
        "program",
        [b"", b".", b"\x80", b"\x80\x02", b"\x80\x02}", b"\x80\x02s.", b"\x80\x02h\x05.", b"\x80\x02t.", b"\x80\x02(.",
         b"\x80\x02X\xff\xff\xff\x7fabc.", b"\x80\x02}(K\x01u.", b"\xff\xfe", b"\x80\x02\x85.", b"c\xe9\n\n.",
         b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.", b"\x80\x02}q"],
    )  # fmt: skip
    def test_damaged_programs(self, tmp_path, program):
        with pytest.raises(DataError, match=r"damaged|holds"):
            read_checkpoint_file(archive(tmp_path / "w.pth", program))

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"size": b"K\x03"}, "larger than its block"),
            (
                {"size": b"J\xff\xff\xff\x7f", "stride": b"K\x00"},
                "larger than its block",
            ),  # 2 billion, stride 0
            ({"offset": b"K\x01"}, "larger than its block"),
            ({"offset": b"J\xff\xff\xff\xff"}, "no count"),
            ({"stride": b"J\xff\xff\xff\xff"}, "no count"),
            ({"size": b"J\xff\xff\xff\xff"}, "no count"),
            ({"size": b"G?\xf0\x00\x00\x00\x00\x00\x00"}, "no count"),
            ({"size": b"\x88"}, "no count"),
            ({"stride": b"K\x09"}, "larger than its block"),
            ({"size": b"K\x01", "stride": b"\x8a\x09" + bytes(7) + b"\x80\x00"}, "no count"),  # 2 ** 63
            ({"length": b"K\x03"}, "another size than described"),
            ({"length": b"\x8a\x08" + b"\xff" * 7 + b"\x7f"}, "another size than described"),  # 2 ** 63 - 1
            ({"length": b"\x8a\x20" + b"\xff" * 31 + b"\x7f"}, "more than 96 bits"),
            ({"kind": b"DoubleStorage"}, "another size than described"),
            ({"kind": b"BoolStorage"}, "asks for 'torch.BoolStorage'"),
            ({"kind": b"_C.Anything"}, "asks for"),
            ({"key": b"1"}, "block '1' is missing"),
            ({"key": b"../../etc/passwd"}, "is missing"),
            ({"length": b"N"}, "no block of numbers"),
        ],
    )
    def test_tensors_that_lie_about_their_size(self, tmp_path, wrong, message):
        with pytest.raises(DataError, match=message):
            read_checkpoint_file(archive(tmp_path / "w.pth", tensor_program(**wrong), BLOCK))

    @pytest.mark.parametrize(
        "program",
        [
            b"\x80\x02" + b"}" * 3_000_000 + b".",
            b"\x80\x02" + b"(" * 3_000_000 + b".",
            b"\x80\x02" + b"]" + b"q\x00h\x00a" * 500_000 + b".",
            b"\x80\x02" + b")" + b"\x85" * 2_000_000 + b".",
        ],
        ids=["dicts", "marks", "itself", "nested"],
    )
    def test_bombs_of_many_steps_are_stopped(self, tmp_path, program):
        with pytest.raises(DataError, match="more than 300,000 steps"):
            read_checkpoint_file(archive(tmp_path / "w.pth", program))

    @pytest.mark.parametrize(
        "program",
        [
            # "billion laughs": each level holds the one before twice
            b"\x80\x02)q\x00" + b"".join(b"h%ch%c\x86q%c" % (n, n, n + 1) for n in range(60)) + b".",
            b"\x80\x02" + b")" + b"\x85" * 5_000 + b".",
            b"\x80\x02\x8b\xff\xff\xff\x7f.",
            b"\x80\x02B\xff\xff\xff\x7f.",
            b"I" + b"9" * 1_000_000 + b"\n.",
        ],
        ids=["laughs", "nested", "long", "bytes", "digits"],
    )
    def test_bombs_of_few_steps_cost_little_memory(self, tmp_path, program):
        path = archive(tmp_path / "w.pth", program)
        tracemalloc.start()
        try:
            with pytest.raises(DataError):
                read_checkpoint_file(path)
            assert tracemalloc.get_traced_memory()[1] < 10 * 2**20
        finally:
            tracemalloc.stop()

    def test_a_program_too_long_is_not_read(self, tmp_path):
        with pytest.raises(DataError, match="more than 4 MiB"):
            read_checkpoint_file(archive(tmp_path / "w.pth", b"\x80\x02" + bytes(5 * 2**20)))

    def test_compressed_entries_are_refused(self, tmp_path):
        path = archive(
            tmp_path / "w.pth", tensor_program(), [("0", bytes(10**6))], compression=zipfile.ZIP_DEFLATED
        )
        with pytest.raises(DataError, match="compressed"):
            read_checkpoint_file(path)

    def test_overlapping_entries_are_refused(self, tmp_path):
        path = archive(tmp_path / "w.pth", tensor_program(), [("0", b"1" * 8), ("1", b"2" * 5000)])
        raw = bytearray(path.read_bytes())
        directory = raw.index(b"PK\x01\x02")  # where the first entry now claims to be longer than the file
        raw[directory + 20 : directory + 28] = struct.pack("<II", 50_000, 50_000)
        path.write_bytes(raw)
        with pytest.raises(DataError, match="overlap"):
            read_checkpoint_file(path)

    def test_two_entries_of_one_name_are_refused(self, tmp_path):
        with pytest.warns(UserWarning, match="Duplicate name"):
            path = archive(tmp_path / "w.pth", tensor_program(), [*BLOCK, *BLOCK])
        with pytest.raises(DataError, match="two of one name"):
            read_checkpoint_file(path)

    def test_two_programs_are_refused(self, tmp_path):
        path = archive(tmp_path / "w.pth", tensor_program(), BLOCK, more=[("other/data.pkl", b"")])
        with pytest.raises(DataError, match=r"needs one data\.pkl"):
            read_checkpoint_file(path)

    def test_big_endian_numbers_are_refused(self, tmp_path):
        path = archive(tmp_path / "w.pth", tensor_program(), BLOCK, more=[("archive/byteorder", b"big")])
        with pytest.raises(DataError, match="big-endian"):
            read_checkpoint_file(path)

    def test_a_flipped_bit_in_the_numbers_is_noticed(self, tmp_path):
        path = archive(tmp_path / "w.pth", tensor_program(), BLOCK)
        raw = bytearray(path.read_bytes())
        raw[raw.index(BLOCK[0][1])] ^= 1
        path.write_bytes(raw)
        with pytest.raises(DataError, match="Bad CRC"):
            read_checkpoint_file(path)

    @LAYOUTS
    def test_cut_files(self, tmp_path, zipped):
        whole = saved(
            tmp_path / "w.pth", {"a": torch.randn(50), "b": torch.ones(3)}, zipped=zipped
        ).read_bytes()
        for length in range(4, len(whole) - 1, max(1, len(whole) // 60)):
            (tmp_path / "cut.pth").write_bytes(whole[:length])
            with pytest.raises(DataError):
                read_checkpoint_file(tmp_path / "cut.pth")

    @pytest.mark.parametrize(
        "value",
        [
            torch.ones(2),
            [torch.ones(2)],
            {},
            {1: torch.ones(2)},
            {"a": 1},
            {"a": {"b": torch.ones(2)}},
            "text",
            None,
        ],
        ids=str,
    )
    @LAYOUTS
    def test_what_is_no_state_dict(self, tmp_path, zipped, value):
        with pytest.raises(DataError, match="holds"):
            read_checkpoint_file(saved(tmp_path / "w.pth", value, zipped=zipped))

    def test_a_whole_network_is_refused(self, tmp_path):
        with pytest.raises(DataError, match="holds more than tensors"):
            read_checkpoint_file(saved(tmp_path / "w.pth", nn.Linear(2, 2)))


class TestStream:
    @pytest.mark.parametrize(
        "raw",
        [b"\x80\x02K\x01.", pickle.dumps({"a": 1}, 2), b"\x80\x02.", b"\x80\x02" + bytes(100)],
    )
    def test_other_pickles(self, tmp_path, raw):
        path = tmp_path / "w.pth"
        path.write_bytes(raw)
        with pytest.raises(DataError):
            read_checkpoint_file(path)

    def test_a_block_with_another_length(self, tmp_path):
        path = saved(tmp_path / "w.pth", {"a": torch.arange(4.0)}, zipped=False)
        raw = path.read_bytes()
        path.write_bytes(
            raw.replace(struct.pack("<q", 4) + struct.pack("<f", 0), struct.pack("<qf", 2**60, 0))
        )
        with pytest.raises(DataError, match="another size than described"):
            read_checkpoint_file(path)

    def test_a_block_described_in_two_ways(self, tmp_path):
        path = tmp_path / "w.pth"
        tensors = {"a": torch.arange(4.0), "b": torch.arange(4)}
        raw = saved(path, tensors, zipped=False).read_bytes()
        first, second = (str(t.untyped_storage()._cdata).encode() for t in tensors.values())
        assert len(first) == len(second)
        path.write_bytes(raw.replace(second, first, 1))
        with pytest.raises(DataError, match="described in two ways"):
            read_checkpoint_file(path)

    def test_a_block_too_many(self, tmp_path):
        path = tmp_path / "w.pth"
        saved(path, {"a": torch.arange(4.0)}, zipped=False)
        stream = io.BytesIO(path.read_bytes())
        parts = []
        for _ in range(5):
            start = stream.tell()
            collections.deque(pickletools.genops(stream), maxlen=0)
            parts.append(stream.getvalue()[start : stream.tell()])
        parts[4] = pickle.dumps(["other"], 2)
        path.write_bytes(b"".join(parts) + bytes(100))
        with pytest.raises(DataError, match="belongs to no tensor"):
            read_checkpoint_file(path)
