"""A server that speaks the protocol and answers as a test wants."""

import asyncio
from collections import Counter

import hiredis


class Puppet:
    """A handler for `serving`: each command gets the answer to its first word in `answers`, else OK."""

    def __init__(self, **answers: bytes) -> None:
        self.answers = answers
        self.heard: Counter[str] = Counter()
        self.writers: list[asyncio.StreamWriter] = []
        """Of all connections so far, to say something later or to cut them."""

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        commands = hiredis.Reader()
        self.writers.append(writer)
        while data := await reader.read(65536):
            commands.feed(data)
            while (command := commands.gets()) is not False:
                word = command[0].decode()
                self.heard[word] += 1
                writer.write(self.answers.get(word, b"+OK\r\n"))
