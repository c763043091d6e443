"""Files that users have got themselves: where they are, their lines, and errors in them."""

import gzip
import os
import shlex
import zlib
from dataclasses import dataclass
from pathlib import Path

_GZIP_START = b"\x1f\x8b"


@dataclass(frozen=True, eq=False)
class DataFiles:
    """Files of one kind in a folder of the user; errors tell where they can be had."""

    loader: str
    """The name of the function that reads them."""
    data_home: str | os.PathLike
    folders: tuple
    """Folders in `data_home`, in the order in which they are searched."""
    instructions: str
    """Commands of a shell that get the data; `{data_home}` stands for the folder."""

    def find(self, *names):
        """Return the path of the first of these files that exists in one of the folders."""
        for folder in self._folders():
            for name in names:
                path = folder / name
                if path.is_dir():
                    raise self.error(path, "it is a folder; expected a file.")
                if path.exists():
                    return path
        raise self.missing(
            f"{self.loader} finds no {' or '.join(names)} in "
            f"{' or '.join(map(str, self._folders()))}."
        )

    def find_all(self, pattern):
        """Return the paths of all files of names like this."""
        return [path for folder in self._folders() for path in folder.glob(pattern)]

    def _folders(self):
        return [Path(self.data_home).expanduser() / folder for folder in self.folders]

    def _commands(self):
        data_home = shlex.quote(str(Path(self.data_home).expanduser()))
        return self.instructions.format(data_home=data_home)

    def missing(self, message):
        """Return the error that says which file is not there, and how to get it."""
        return FileNotFoundError(
            f"{message} Nothing is downloaded; get the data by\n{self._commands()}"
        )

    def error(self, path, message, line=None):
        """Return the error that says what is wrong in a file, and how to get it anew."""
        where = path if line is None else f"{path}, line {line}"
        return ValueError(
            f"{where}: {message} If the file is damaged, get it anew by\n{self._commands()}"
        )

    def lines(self, path):
        """Yield the number, from 1, and the text of each line of a file, gzipped or not.

        The last line has to end as the others do: without its end, a file may have lost
        digits of its last number, too.
        """
        number, line = 0, b"\n"
        try:
            with _open(path) as file:
                for number, line in enumerate(file, start=1):
                    # Editors may have put a mark of the order of bytes at the start.
                    encoding = "utf-8-sig" if number == 1 else "utf-8"
                    yield number, line.rstrip(b"\r\n").decode(encoding)
        except UnicodeDecodeError as error:
            raise self.error(path, f"{error}; expected UTF-8.", number) from error
        except EOFError as error:
            message = f"the file is cut short after line {number}; expected more."
            raise self.error(path, message) from error
        except (gzip.BadGzipFile, zlib.error) as error:
            message = (
                f"the file is damaged after line {number}, or other bytes follow what is "
                f"compressed ({error}); expected a file of gzip, and nothing after it."
            )
            raise self.error(path, message) from error
        if not line.endswith(b"\n"):
            message = "the file is cut short: its last line has no end; expected a newline."
            raise self.error(path, message, number)

    def rows(self, path, columns, *, header=True):
        """Yield the number of each line and a list of its columns, separated by tabs.

        Parameters
        ----------
        path : path-like
        columns : sequence of str
            Names of the columns, which errors tell.
        header : bool
            Whether the first line has the names of the columns; it is not yielded.
        """
        number = 0
        for number, line in self.lines(path):
            row = line.split("\t")
            if header and number == 1:
                self._check_header(path, row, columns)
                continue
            if len(row) != len(columns):
                raise self.error(
                    path,
                    f"{_count(len(row), 'column')}, {_shortened(line)}; expected "
                    f"{len(columns)}, separated by tabs: {', '.join(columns)}.",
                    number,
                )
            yield number, row
        if number <= header:
            raise self.error(path, "there is no row; expected at least one.")

    def _check_header(self, path, row, columns):
        if row != list(columns):
            came, expected = "\t".join(row), "\t".join(columns)
            message = f"the header is {_shortened(came)}; expected {expected!r}."
            raise self.error(path, message, 1)

    def integer(self, path, line, name, text, allowed=None):
        """Return a column as an integer of at least 0, or one of those that are allowed."""
        is_valid = text in allowed if allowed else text.isascii() and text.isdigit()
        if not is_valid:
            expected = " or ".join(allowed) if allowed else "an integer of at least 0"
            message = f"{name} is {_shortened(text)}; expected {expected}."
            raise self.error(path, message, line)
        return int(text)

    def check_letters(self, path, line, name, text, allowed):
        """Raise an error if a sequence has other letters, or none."""
        unknown = sorted(set(text) - set(allowed))
        if unknown or not text:
            came = f"has the unknown letter {unknown[0]!r}" if unknown else "is empty"
            message = f"{name} {came}; expected letters of {allowed}."
            raise self.error(path, message, line)


def open_binary(path):
    """Open a file to read its bytes."""
    return open(path, "rb")


def _open(path):
    with open(path, "rb") as file:
        is_gzip = file.read(2) == _GZIP_START
    return gzip.open(path, "rb") if is_gzip else open(path, "rb")


def _count(n, noun):
    return f"{n} {noun}{'' if n == 1 else 's'}"


def _shortened(text):
    return repr(text if len(text) <= 60 else text[:57] + "...")
