"""From photos to answers: prepare a catalogue, learn one fingerprint per SKU, and search it with a photo.

python docs/examples/fingerprints.py     two minutes on a CPU; a second time it only searches
"""

from pathlib import Path

import skufp

# A small generated catalogue. Your own: ["data=catalogue", "data.manifest=products.csv", …]
settings = [
    "data=synthetic", "data.source.pairs={train: 24, validation: 8, test: 1}",
    "model=siglip_tiny", "model.training.steps=150", "trainer=cpu", "progress=false",
]  # fmt: skip

if __name__ == "__main__":  # stages start processes, which import this file
    prepared = skufp.run("prepare", settings)  # photos -> crops, splits and report.json
    fingerprints = skufp.run("fingerprint", settings)  # … -> encoder -> vectors -> one vector per SKU
    skufp.run("index", [*settings, "export_to=similar/"])  # … -> a folder that searches without all of the above

    print((fingerprints / "model_card.md").read_text(encoding="utf-8").split("## Intended use")[0])
    photo = min(Path(prepared).glob("validation/query/**/*.jpg"))
    print(f"Which product is on {photo.name}?")
    for answer in skufp.search_similar(photo, index="similar/", top_k=5):
        print(f"{answer['score']:.3f}  {answer['filename']}")
