"""The pool of opinions against its equation, and what it is for: predictions from little have less
to say.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onlooker.base.decision import clip_scores
from onlooker_papers.digits.track_classifier import OpinionPool

D = 5
K = 3


@torch.no_grad()
def test_it_is_the_weighted_product_of_what_its_frames_say() -> None:
    pool = OpinionPool(nn.Linear(D, K), D)
    features = torch.randn(2, 4, D)
    nn.init.normal_(pool.weight.weight)
    pooled = pool(features).softmax(2)
    for b in range(2):
        product = torch.ones(K, dtype=torch.double)
        for t in range(4):
            x = features[b, t]
            weight = torch.log(1 + torch.exp(pool.weight.weight[0] @ x + pool.weight.bias[0]))
            product *= pool.judge(x).softmax(0).double() ** weight.double()
            assert torch.allclose(pooled[b, t].double(), product / product.sum(), atol=1e-5)


@torch.no_grad()
def test_before_it_learns_all_frames_count_alike() -> None:
    pool = OpinionPool(nn.Linear(D, K), D)
    features = torch.randn(1, 6, D)
    product = clip_scores(pool.judge(features[0]).softmax(1), "product").log()
    assert torch.allclose(
        pool(features)[0, -1].log_softmax(0), (0.3 * product).log_softmax(0), atol=1e-5
    )


def test_it_learns_which_frames_to_trust_where_an_average_cannot() -> None:
    """One frame in six tells the class and says so; the others say one of the classes at random,
    and are as sure.
    """

    def clips(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        labels = torch.randint(K, (count,), generator=generator)
        said = torch.randint(K, (count, 6), generator=generator)
        telling = torch.randint(6, (count,), generator=generator)
        said[torch.arange(count), telling] = labels
        return torch.cat(
            (F.one_hot(said, K).float(), F.one_hot(telling, 6)[..., None].float()), 2
        ), labels

    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    judge = nn.Linear(K + 1, K)
    pool = OpinionPool(judge, K + 1)
    optimizer = torch.optim.Adam(pool.parameters(), 0.05)
    for _ in range(150):
        features, labels = clips(64, generator)
        loss = F.cross_entropy(pool(features)[:, -1], labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    features, labels = clips(500, generator)
    with torch.no_grad():
        pooled = pool(features)[:, -1]
        averaged = judge(features).softmax(2).mean(1)
    assert (pooled.argmax(1) == labels).float().mean() > 0.98
    assert (averaged.argmax(1) == labels).float().mean() < 0.8


@torch.no_grad()
def test_half_precision_sums_in_full() -> None:
    pool = OpinionPool(nn.Linear(D, K), D).bfloat16()
    features = torch.randn(1, 500, D).bfloat16()
    pooled = pool(features)[0, -1]
    assert pooled.dtype == torch.float32
    exact = pool.double()(features.double())[0, -1]
    assert torch.allclose(pooled.softmax(0).double(), exact.softmax(0), atol=0.02)
