from a2d_cli.cli import main

if __name__ == "__main__":  # not again in worker processes that import this module
    main()
