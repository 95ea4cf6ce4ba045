"""The pool of opinions against its equation, and what it is for: frames that know less have less to say."""

import torch
import torch.nn.functional as F
from torch import nn

from onlooker.models.cells.cell import State
from onlooker.models.cells.unroll import unroll
from onlooker.models.classifier import clip_scores
from onlooker_papers.digits.opinions import OpinionPool

D, K = 5, 3


def start(cell, B):
    return cell.initial_state(B, (2, 2), torch.device("cpu"), torch.float32)


@torch.no_grad()
def test_it_is_the_weighted_product_of_what_its_frames_say():
    torch.manual_seed(0)
    cell, features = OpinionPool(nn.Linear(D, K), D, K), torch.randn(2, 4, D, 2, 2)
    nn.init.normal_(cell.weight.weight)
    pooled = unroll(cell, features, start(cell, 2))[0].hidden.softmax(2)
    for b in range(2):
        product = torch.ones(K, dtype=torch.double)
        for t in range(4):
            x = features[b, t].mean((1, 2))
            weight = torch.log(1 + torch.exp(cell.weight.weight[0] @ x + cell.weight.bias[0]))
            product *= cell.judge(x).softmax(0).double() ** weight.double()
            assert torch.allclose(pooled[b, t].double(), product / product.sum(), atol=1e-5)


@torch.no_grad()
def test_before_it_learns_all_frames_count_alike():
    torch.manual_seed(0)
    cell, features = OpinionPool(nn.Linear(D, K), D, K), torch.randn(1, 6, D, 1, 1)
    said = cell.judge(features[0, :, :, 0, 0]).softmax(1)
    pooled = unroll(cell, features, start(cell, 1))[0].hidden[0, -1]
    product = clip_scores(said, "product").log()
    assert torch.allclose(pooled.log_softmax(0), (0.3 * product).log_softmax(0), atol=1e-5)


def test_it_learns_which_frames_to_trust_where_an_average_cannot():
    """One frame in six tells the class and says so; the others say one of the classes at random, and are as sure."""

    def clips(count, generator):
        labels = torch.randint(K, (count,), generator=generator)
        said = torch.randint(K, (count, 6), generator=generator)
        telling = torch.randint(6, (count,), generator=generator)
        said[torch.arange(count), telling] = labels
        tells = F.one_hot(telling, 6)[..., None].float()
        return torch.cat((F.one_hot(said, K).float(), tells), 2)[..., None, None], labels

    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    judge = nn.Linear(K + 1, K)
    cell = OpinionPool(judge, K + 1, K)
    optimizer = torch.optim.Adam(cell.parameters(), 0.05)
    for _ in range(150):
        features, labels = clips(64, generator)
        loss = F.cross_entropy(unroll(cell, features, start(cell, 64))[0].hidden[:, -1], labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    features, labels = clips(500, generator)
    with torch.no_grad():
        pooled = unroll(cell, features, start(cell, 500))[0].hidden[:, -1]
        averaged = judge(features[..., 0, 0]).softmax(2).mean(1)
    assert (pooled.argmax(1) == labels).float().mean() > 0.98
    assert (averaged.argmax(1) == labels).float().mean() < 0.8


@torch.no_grad()
def test_half_precision_sums_in_full():
    torch.manual_seed(0)
    cell, features = OpinionPool(nn.Linear(D, K), D, K).bfloat16(), torch.randn(1, 500, D, 1, 1).bfloat16()
    state = cell.initial_state(1, (1, 1), torch.device("cpu"), torch.bfloat16)
    pooled = unroll(cell, features, state)[0].hidden[0, -1]
    assert pooled.dtype == torch.float32
    exact = unroll(cell.double(), features.double(), start(cell, 1))[0].hidden[0, -1]
    assert torch.allclose(pooled.softmax(0).double(), exact.softmax(0), atol=0.02)


@torch.no_grad()
def test_it_keeps_the_promises_of_a_cell():
    torch.manual_seed(0)
    cell, features = OpinionPool(nn.Linear(D, K), D, K).double().eval(), torch.randn(2, 5, D, 2, 3, dtype=torch.double)
    state = State(torch.randn(2, K, dtype=torch.double), torch.zeros(2, 0, dtype=torch.double))
    whole, last = unroll(cell, features, state)
    first, between = unroll(cell, features[:, :2], state)
    second, end = unroll(cell, features[:, 2:], between)
    assert torch.allclose(torch.cat((first.hidden, second.hidden), 1), whole.hidden)
    assert torch.allclose(end.hidden, last.hidden)
    for n in range(2):
        alone, _ = unroll(cell, features[n : n + 1], State(*(part[n : n + 1] for part in state)))
        assert torch.allclose(alone.hidden[0], whole.hidden[n])
    for t in range(5):
        output, state = cell(features[:, t], state)
        assert torch.allclose(output.hidden, whole.hidden[:, t])
