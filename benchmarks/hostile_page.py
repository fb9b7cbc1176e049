"""Hostile files through the jobs of a real server."""


def report(cases):
    raise NotImplementedError
