"""Options of the command line that are parameters of `OTKEmbedding`."""

import argparse

PARAMETERS = {
    "n_supports": int,
    "n_references": int,
    "n_components": int,
    "filter_size": int,
    "epsilon": float,
    "gamma": float,
    "damping": float,
    "tol": float,
}


def parser_of_parameters():
    """Return a parser of all of them, to be the parent of others."""
    parser = argparse.ArgumentParser(add_help=False)
    for name, kind in PARAMETERS.items():
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=kind,
            help='of "transport" and "softmax", whose names then end with it',
        )
    return parser


def given_parameters(parser):
    """Return those that the command line has."""
    given = vars(parser.parse_known_args()[0])
    return {name: given[name] for name in PARAMETERS if given[name] is not None}


def describe(settings):
    """Return what a method's name ends with where it has these settings."""
    return "".join(f", {name}={value:g}" for name, value in settings.items())
