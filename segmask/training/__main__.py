"Train a config: `python -m segmask.training config.yaml`, the line that accelerate and torchrun start"
import sys

from ..cli import main

if __name__ == "__main__": sys.exit(main(["train", *sys.argv[1:]]))
