"""Trains the dense LeNet-300-100 of this sample and writes lenet_300_100.pt beside this file. Under a minute on one core."""

from pathlib import Path

import torch
from torch.nn.functional import cross_entropy

import edgeprune
from edgeprune.data import load_data
from edgeprune.models import lenet_300_100

HERE = Path(__file__).parent
EPOCHS, BATCH, RATE = 20, 128, 2e-3

torch.manual_seed(0)
data = load_data(f"mnist:{HERE / 'data'}")
model = lenet_300_100()
steps = EPOCHS * -(-len(data.train) // BATCH)
optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=1e-3)
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=RATE, total_steps=steps)

for epoch in range(EPOCHS):
    total = 0.0
    for x, y in data.train.batches(BATCH, shuffle=True, seed=epoch):
        optimizer.zero_grad()
        loss = cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        schedule.step()
        total += loss.item() * len(y)
    print(f"epoch {epoch + 1:2} of {EPOCHS}: loss {total / len(data.train):.4f}", flush=True)

model.eval()
with torch.no_grad():
    right = sum(int((model(x).argmax(1) == y).sum()) for x, y in data.test.batches(1000))
accuracy = right / len(data.test)
print(f"test accuracy {accuracy:.2%}")
edgeprune.save_checkpoint(
    HERE / "lenet_300_100.pt",
    model,
    model="edgeprune.models:lenet_300_100",
    input_shape=data.input_shape,
    preprocessing=data.preprocessing,
    data=data.spec,
    meta={"accuracy": accuracy, "epochs": EPOCHS},
)
