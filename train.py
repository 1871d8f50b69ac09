"""Train, evaluate and report one classifier: `python train.py model=inception trainer.devices=2`."""

from mammo.processes.peers import end_when_told

if __name__ == "__main__":
    end_when_told()  # before the imports, which take a second
    from mammo.cli.train import main

    main()
