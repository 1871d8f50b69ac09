"""Run the command line: `python -m mammo`, also installed as `mammo`."""

from mammo.cli.main import main

if __name__ == "__main__":
    main()
