import pytest
import torch

from deeplab.crf.torch_lattice import TorchLattice
from deeplab.kernels.lattice_building import build_lattice


def random_features(points, d, spread=4.0, seed=0):
    return torch.rand(points, d, generator=torch.Generator().manual_seed(seed)) * spread


def random_values(points, channels, seed=1):
    return torch.randn(points, channels, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("d, spread", [(1, 40), (2, 30), (3, 0), (5, 4), (5, 60), (12, 8), (5, 1e5)])
def test_it_is_the_lattice_of_the_compiled_kernels(d, spread, transposed, device):
    """float32 adds up a bag in another order, and from 12 features and 1e5 on the keys are random."""
    features, values = random_features(700, d, spread), random_values(700, 5)
    lattice, compiled = TorchLattice(features.to(device)), build_lattice(features.numpy())
    if device.type == "cpu":
        assert len(lattice.starts) == compiled.num_corners
    found = lattice.filter(values.to(device), transposed=transposed).cpu()
    wanted = torch.from_numpy(compiled.filter(values.numpy(), transposed=transposed))
    torch.testing.assert_close(found, wanted, atol=2e-6 * wanted.abs().max().item(), rtol=0)


@pytest.mark.parametrize("d", [1, 2, 3, 5, 7])
def test_the_transposed_filter_is_the_transposed_matrix(d, device):
    lattice = TorchLattice(random_features(60, d).double().to(device))
    everything = torch.eye(60, dtype=torch.float64, device=device)
    matrix, transposed = lattice.filter(everything), lattice.filter(everything, transposed=True)
    torch.testing.assert_close(transposed, matrix.T, atol=1e-14, rtol=0)
    assert (matrix != matrix.T).any() or d == 1


def test_the_weights_of_a_point_are_shares_of_one(device):
    weights = TorchLattice(random_features(500, 5).double().to(device)).weights
    torch.testing.assert_close(weights.sum(dim=1), torch.ones_like(weights[:, 0]))
    assert weights.min() > -1e-12


def test_the_same_input_gives_the_same_bits(device):
    features, values = random_features(20_000, 5, 30).to(device), random_values(20_000, 9).to(device)
    torch.testing.assert_close(
        TorchLattice(features).filter(values), TorchLattice(features).filter(values), atol=0, rtol=0
    )
