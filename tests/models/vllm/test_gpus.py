"""GPUs as `nvidia-smi` prints them, and as people write them."""

import sys

import pytest

from models import gpus

# Recorded: one line a GPU.
H100 = "NVIDIA H100 80GB HBM3, 81559, 9.0\n"
MIXED = "NVIDIA GeForce RTX 4090, 24564, 8.9\nTesla T4, 15360, 7.5\n"
WARNING = (
    "WARNING: infoROM is corrupted at gpu 0000:00:1E.0\n"
    "NVIDIA A10G, 23028, 8.6\n"
    "Unable to determine the device handle for GPU1: 0000:00:1F.0: Unknown Error\n"
)
NO_MEMORY = "NVIDIA GB10, [N/A], 12.1\n"
NO_DRIVER = (
    "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that "
    "the latest NVIDIA driver is installed and running.\n"
)
MIG = "NVIDIA A100-SXM4-80GB, 81920, 8.0\n"


def test_each_line_is_a_gpu() -> None:
    (h100,) = gpus.parse_nvidia_smi(H100)
    assert h100 == gpus.Gpu(name="NVIDIA H100 80GB HBM3", memory=81559 * 1024**2, capability=9.0)
    assert [(one.name, one.capability) for one in gpus.parse_nvidia_smi(MIXED)] == [
        ("NVIDIA GeForce RTX 4090", 8.9),
        ("Tesla T4", 7.5),
    ]


@pytest.mark.parametrize(
    ("printed", "names"),
    [
        (WARNING, ["NVIDIA A10G"]),
        (NO_MEMORY, []),
        (NO_DRIVER, []),
        (MIG, ["NVIDIA A100-SXM4-80GB"]),
        ("", []),
    ],
)
def test_what_is_no_gpu_with_memory_is_left_out(printed: str, names: list[str]) -> None:
    assert [one.name for one in gpus.parse_nvidia_smi(printed)] == names


def test_an_old_driver_that_tells_no_capability_still_tells_memory() -> None:
    (one,) = gpus.parse_nvidia_smi("Tesla V100-SXM2-16GB, 16160, [N/A]\n")
    assert one.capability is None


@pytest.mark.parametrize(
    ("written", "memories"),
    [
        ("24GB", [24 * 10**9]),
        ("24GB,24GB", [24 * 10**9] * 2),
        ("2x80gb", [80 * 10**9] * 2),
        ("24", [24 * 10**9]),
        ("23034MiB, 16GiB", [23034 * 1024**2, 16 * 1024**3]),
    ],
)
def test_people_write_sizes(written: str, memories: list[int]) -> None:
    assert [one.memory for one in gpus.parse_sizes(written)] == memories


@pytest.mark.parametrize("written", ["", "much", "24GB;24GB", "24 parsecs", "0x24GB", "12MB", ","])
def test_what_is_no_size_is_refused_with_an_example(written: str) -> None:
    with pytest.raises(ValueError, match="write 24GB"):
        gpus.parse_sizes(written)


async def test_a_machine_without_nvidia_smi_has_no_gpu() -> None:
    assert await gpus.found(["/nonexistent/nvidia-smi"]) == []


async def test_what_nvidia_smi_prints_is_found() -> None:
    found = await gpus.found([sys.executable, "-c", f"print({H100!r})"])
    assert [one.name for one in found] == ["NVIDIA H100 80GB HBM3"]
    assert await gpus.found([sys.executable, "-c", f"print({H100!r}); raise SystemExit(9)"]) == []
