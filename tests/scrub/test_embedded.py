"""Networks of token numbers: the copies of a text are those of what the embedding makes of its words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from expunge.curvature import cross_entropy
from expunge.curvature.embedded import Place
from expunge.datasets.images import Examples, Images
from expunge.models import TextTransformer
from expunge.predictors.network import NetworkModel
from expunge.scrub import Problem, Scrub
from expunge.scrub.noisy_copies import observe
from expunge.training import Learner, Training
from expunge.unlearners.unsir import Unsir

ROWS, TOKENS, WORDS, WIDTH = 30, 4, 7, 3
RNG = np.random.default_rng(0)
IDS = RNG.integers(1, WORDS, (ROWS, TOKENS))
IDS[::3, -2:] = 0
LABELS = torch.from_numpy(RNG.integers(0, 3, ROWS))


@dataclass(frozen=True)
class Vectors:
    """Rows of real numbers of any shape."""

    points: Tensor

    def __len__(self) -> int:
        return len(self.points)

    def batch(self, index: Any, dtype: torch.dtype = torch.float64, device: Any = "cpu") -> Tensor:
        return self.points[torch.as_tensor(index)].to(dtype)


class Ids(Vectors):
    """Numbers of tokens, as whole numbers."""

    def batch(self, index: Any, dtype: torch.dtype = torch.float64, device: Any = "cpu") -> Tensor:
        return self.points[torch.as_tensor(index)].long()


class Reader(nn.Module):
    """Words, and a place for each by another embedding."""

    def __init__(self, words: nn.Module) -> None:
        super().__init__()
        self.words, self.places = words, nn.Embedding(TOKENS, WIDTH)
        self.inner, self.head = nn.Linear(WIDTH * TOKENS, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        z = self.words(x.long() if isinstance(self.words, nn.Embedding) else x)
        z = z + self.places(torch.arange(TOKENS).expand(x.shape[:2]))
        return self.head(torch.tanh(self.inner(z.flatten(1))))


def pair(padding=None):
    """A network that looks words up, and the same for what it finds there."""
    torch.manual_seed(0)
    words = nn.Embedding(WORDS, WIDTH, padding_idx=padding)
    words.weight.requires_grad_(False)
    one = Reader(words).double()
    other = Reader(nn.Identity()).double()
    other.load_state_dict(one.state_dict(), strict=False)
    return one.eval(), other.eval()


def problem(module, x):
    examples = Examples(x, LABELS, np.arange(ROWS), dtype=torch.float64)
    return Problem.removing(module, cross_entropy, examples, [4, 9], penalty=0.01)


@pytest.mark.parametrize("settings", [{}, {"selector": "all"}, {"curvature": "ggn"}])
@pytest.mark.parametrize("kind", [Vectors, Ids])
def test_a_scrub_of_words_is_that_of_their_vectors(kind, settings):
    looks_up, takes = pair()
    with torch.no_grad():
        vectors = looks_up.words(torch.from_numpy(IDS))
    found = []
    for module, x in ((looks_up, kind(torch.from_numpy(IDS))), (takes, Vectors(vectors))):
        scrub = Scrub(n_perturbations=60, threads=1, **settings)
        draws = np.random.default_rng(0), torch.Generator().manual_seed(0)
        found.append(scrub.propose(problem(module, x), *draws))
    assert found[0].units == found[1].units
    torch.testing.assert_close(found[0].step, found[1].step, rtol=1e-10, atol=0)
    assert found[0].step.any()


def test_the_published_curvature_takes_whole_numbers():
    module, _ = pair()
    given = problem(module, Ids(torch.from_numpy(IDS)))
    scrub = Scrub(n_perturbations=20, threads=1, curvature="fd", mode="cr")
    assert scrub.propose(given, np.random.default_rng(0), torch.Generator().manual_seed(0)).step.any()


def test_the_layer_of_the_inputs_is_found_by_them():
    module, other = pair()
    x = torch.from_numpy(IDS[:2]).double()
    assert Place.of(module, x).embedding is module.words
    assert Place.of(other, torch.zeros(2, TOKENS, WIDTH, dtype=torch.float64)).embedding is None
    assert Place.of(nn.Linear(2, 2), torch.zeros(1, 2)) == Place()


def test_padding_is_not_moved():
    module, _ = pair(padding=0)
    x, y = torch.from_numpy(IDS[[0, 1]]).double(), LABELS[[0, 1]]
    place = Place.of(module, x)
    assert place.moves(x)[..., 0].tolist() == (x != 0).tolist()
    with torch.no_grad():
        module.places.weight.zero_()
        module.inner.weight[:, : 2 * WIDTH] = 0  # only the last two words count, and the first text has none
    seen = observe(module, cross_entropy, (x, y), 40, 0.1, torch.Generator().manual_seed(0))
    assert len(set(seen.losses[::2])) == 1
    assert len(set(seen.losses[1::2])) == 20


def test_the_noise_of_unsir_is_learned_behind_the_embedding():
    training = Training(optimizer="adam", epochs=3, lr=0.01, batch_size=8)
    architecture = TextTransformer(vocabulary=WORDS, width=WIDTH, dim=8, heads=2)
    model = NetworkModel(Learner(architecture, training, "cpu", progress=False))
    method = Unsir(model, noise_steps=3, val_gap=None, batch_size=8)
    method.fit(Images.of(IDS), LABELS.numpy(), 0)
    before = {name: value.clone() for name, value in model.module.state_dict().items()}
    assert method.remove([1, 2]).outcome == "removed"
    changed = {n for n, value in model.module.state_dict().items() if not torch.equal(value, before[n])}
    assert {"project.weight", "head.weight"} <= changed
    assert "embedding.weight" not in changed
