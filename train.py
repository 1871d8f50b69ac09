"""Train, evaluate and report one classifier: `python train.py model=inception trainer.devices=2`."""

from mammo.cli.train import main

if __name__ == "__main__":
    main()
