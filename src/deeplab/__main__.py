"""The command line: every mistake is one line on standard error, and an exit status."""

from __future__ import annotations

import re
import sys
import traceback

from deeplab.errors import DeepLabError

NO_MEMORY = re.compile("out of memory|(cannot|can't|failed to|unable to) allocate", re.IGNORECASE)
"""How torch and the engines tell it, each by an error of its own."""


def main(arguments: list[str] | None = None) -> int:
    """Run `deeplab` with `arguments` (those of the process unless given).

    Returns:
        0 after success, 2 after a user's mistake, 130 after Ctrl-C, 1 after a mistake of ours and where `doctor`
        finds errors in data.

    Raises:
        SystemExit: 143 after SIGTERM in a training, which can be resumed.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        from deeplab.cli import run

        return run(arguments)
    except KeyboardInterrupt:
        return _say("interrupted", status=130)
    except DeepLabError as error:
        return _say(str(error), status=2, arguments=arguments)
    except OSError as error:
        what = f"{error.filename}: " if error.filename else ""
        return _say(f"{what}{error.strerror or error}", status=2, arguments=arguments)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "torch":
            return _say("this needs PyTorch; run: pip install torch", status=2, arguments=arguments)
        if isinstance(error, MemoryError) or NO_MEMORY.search(str(error)):
            ways = {"train": "batch-size or --crop-size", "explain": "long-side"}
            what = ways.get(next(iter(arguments), ""), "tile-size or --long-side")
            return _say(f"out of memory; choose a smaller --{what}", status=2, arguments=arguments)
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return _say(f"unexpected {text}; run it again with --debug and report it", status=1, arguments=arguments)


def _say(text: str, *, status: int, arguments: list[str] | None = None) -> int:
    if "--debug" in (arguments or ()):
        traceback.print_exc()
    print(f"deeplab: {' '.join(text.splitlines())}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
