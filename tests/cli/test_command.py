"""What all commands share: how they print the package's errors."""

import click
import pytest

from litematting_deploy.cli.command import with_flags
from litematting_deploy.cli.infer import main as infer
from litematting_deploy.cli.trimap import main as trimap
from tests.conftest import assert_flags, parameters


@pytest.mark.parametrize(
    ("command", "message", "wanted"),
    [
        (infer, "`step` must be 1", "--step must be 1"),
        (infer, "leave out `plan=adaptive`", "leave out --plan adaptive"),
        (infer, "`patch_hw` or `unknown_width`", "--patch or --unknown"),
        (infer, "give a `trimap`", "give a TRIMAP"),
        (trimap, "with `trimap_encoding=between`", "with --trimap-encoding between"),
        (trimap, "use `weights_only` of another library", "use `weights_only` of another library"),
    ],
    ids=[
        "a parameter becomes its flag",
        "a value stays beside it",
        "flags have names of their own",
        "an argument becomes its metavar",
        "what only ltm-infer has is its flag",
        "other names stay",
    ],
)
def test_parameters_are_printed_as_flags(command: click.Command, message: str, wanted: str) -> None:
    assert with_flags(message, command) == wanted


@pytest.mark.parametrize("left", ["`step` must be 1", "leave out `plan=adaptive`", "give it as `mask`"])
def test_a_parameter_that_was_not_replaced_is_found(left: str) -> None:
    """`run` and `called` look at all that commands print in these tests, at every mistake, too."""
    with pytest.raises(AssertionError, match="no flag of this command stands for it"):
        assert_flags(left)


def test_names_of_others_are_no_parameters() -> None:
    assert {"step", "trimap_encoding", "dtype", "mask"} <= parameters()
    assert_flags("use `weights_only=False`, or --step 3")
