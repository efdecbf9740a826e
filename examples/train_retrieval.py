"""Find a consumer's garment in photos of shops: python train_retrieval.py [REGISTRY [PHOTOS [EPOCHS]]]."""

import sys
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader

import registry
from registry.loaders import IdentitySampler, Items


def small(crop):
    """Return a crop as 3 x 64 x 64 numbers from 0 to 1."""
    return functional.interpolate(crop[None] / 255, (64, 64), mode="area")[0]


def contrastive_loss(vectors, identities, temperature=0.1):
    """Return the mean -log probability of picking an item of the same identity among all others of the batch."""
    itself = torch.eye(len(vectors), dtype=torch.bool)
    log_probability = (vectors @ vectors.T / temperature).masked_fill(itself, -1e9).log_softmax(dim=1)
    return -log_probability[(identities[:, None] == identities).all(dim=2) & ~itself].mean()


@torch.no_grad()
def top_1(network, items, url):
    """Return the share of consumer items whose nearest shop item is of the same identity."""
    vectors = torch.cat([network.eval()(crops) for crops, _ in DataLoader(items, batch_size=64)])
    table = items.rows.select(["split", "image_id", "item_no"]).append_column("vector", [vectors.tolist()])
    return registry.evaluate(registry.open(url), "embeddings", table, subset={"split": "validation"}).value("top-1")


def train(url="data/registry", photos="data/sample", epochs=10):
    """Print the loss of each epoch on train, and top-1 on validation before and after."""
    torch.manual_seed(0)
    layers = [(nn.Conv2d(a, b, 3, 2, 1), nn.BatchNorm2d(b), nn.ReLU()) for a, b in pairwise([3, 32, 64, 128, 128])]
    network = nn.Sequential(*sum(layers, ()), nn.Flatten(), nn.Linear(4 * 4 * 128, 128))
    optimizer = torch.optim.Adam(network.parameters())
    items, unseen = (Items(url, {"split": s}, photos=photos, transform=small) for s in ("train", "validation"))
    sampler = IdentitySampler(items, num_identities=8, num_items=4, sides="both")
    print(f"top-1 before training: {top_1(network, unseen, url):.3f}")
    for epoch in range(int(epochs)):
        sampler.set_epoch(epoch)
        total = 0.0
        for crops, targets in DataLoader(items, batch_sampler=sampler, num_workers=2):
            identities = torch.stack([targets["pair_id"], targets["style"]], dim=1)
            loss = contrastive_loss(functional.normalize(network.train()(crops)), identities)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        print(f"epoch {epoch}: loss {total / len(sampler):.3f}")
    print(f"top-1 after training: {top_1(network, unseen, url):.3f}")


if __name__ == "__main__":
    train(*sys.argv[1:])
