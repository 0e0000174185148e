"""The command that holds all others, and what it says when one fails."""

from __future__ import annotations

import logging
from typing import Any

import click

from .._version import __version__
from ..errors import EdgepruneError


class OneLineErrors(click.Group):
    """Errors as one line on stderr with their exit code; with --debug as a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except EdgepruneError as error:
            if ctx.params.get("debug"):
                raise
            click.echo(f"Error: {' '.join(str(error).split())}", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("interrupted; a finished round is kept: run the same command with --resume", err=True)
            ctx.exit(130)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if ctx.params.get("debug"):
                raise
            said = " ".join(str(error).split()) or "no message"
            click.echo(f"Internal error ({type(error).__name__}: {said}); --debug before the command shows where", err=True)
            ctx.exit(101)


@click.group(cls=OneLineErrors, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="edgeprune")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def main(debug: bool) -> None:
    """Compress a trained PyTorch network for an edge device: prune, shrink, export, prove."""
    log = logging.getLogger("edgeprune")
    if not any(isinstance(handler, _ToTerminal) for handler in log.handlers):
        log.addHandler(_ToTerminal(logging.WARNING))


class _ToTerminal(logging.Handler):
    """Warnings as plain lines on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(f"{record.levelname.capitalize()}: {record.getMessage()}", err=True)
