"""Families of verbs, whose options are given once: of two values, one would be passed over without a word."""

from typing import Any

import typer
from typer.core import TyperCommand


class Verb(TyperCommand):
    """A verb that refuses an option which is given twice, unless it takes several values."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words after the verb."""
        order: list[Any] = list(self.make_parser(ctx).parse_args(args=list(args))[2])
        for one in order:
            if one.param_type_name == "option" and not one.multiple and not one.is_flag and order.count(one) > 1:
                raise typer.BadParameter("it is given twice; give it once", ctx=ctx, param=one)
        return super().parse_args(ctx, args)


class Verbs(typer.Typer):
    """A family of verbs."""

    def command(self, *words: Any, **more: Any) -> Any:
        """Return the decorator that makes a function a verb."""
        return super().command(*words, **{"cls": Verb} | more)
