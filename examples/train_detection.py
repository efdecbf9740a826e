"""Train a detector of torchvision for a few steps: python train_detection.py [REGISTRY [PHOTOS [STEPS]]]."""

import sys
from itertools import islice

import torch
from torch.utils.data import DataLoader
from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_320_fpn

from registry.loaders import Detection, collate

NUM_CLASSES = 14  # 13 categories and the background


def train(url="data/registry", photos="data/sample", steps=8):
    """Print the sum of the losses of each step."""
    torch.manual_seed(0)
    images = Detection(url, {"split": "train"}, photos=photos)
    loader = DataLoader(images, batch_size=2, shuffle=True, collate_fn=collate, num_workers=2)
    model = fasterrcnn_mobilenet_v3_large_320_fpn(weights=None, weights_backbone=None, num_classes=NUM_CLASSES)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    for step, (pictures, targets) in enumerate(islice(loader, int(steps))):
        loss = sum(model([picture / 255 for picture in pictures], targets).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        print(f"step {step}: loss {loss.item():.3f}")


if __name__ == "__main__":
    train(*sys.argv[1:])
