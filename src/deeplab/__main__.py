"""The command line: every mistake is one line on standard error, and an exit status."""

from __future__ import annotations

import sys
import traceback

from deeplab.errors import DeepLabError


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
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return _say(f"unexpected {text}; run it again with --debug and report it", status=1, arguments=arguments)


def _say(text: str, *, status: int, arguments: list[str] | None = None) -> int:
    if "--debug" in (arguments or ()):
        traceback.print_exc()
    print(f"deeplab: {' '.join(text.splitlines())}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
