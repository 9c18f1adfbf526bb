"""A study in a folder with outputs that are there, and its raters' pages on a free port."""

from __future__ import annotations

import hashlib
import io
import re
from contextlib import contextmanager
from html import unescape

import httpx2
from PIL import Image, ImageDraw

from ggez_hub.embedded import AppServer
from ggez_hub.humans.server.app import create_app
from ggez_hub.humans.server.site import Site
from ggez_hub.humans.store import Store
from ggez_hub.humans.study import OUTPUTS, STUDY_FILE, Output

from ..worlds import running
from .studies import study_of

TEXTS = {
    "en": "It is a market on the water.",
    "th": "ตลาดน้ำแห่งนี้มีเรือขายอาหารและผลไม้มากมายตั้งแต่เช้าตรู่จนถึงเที่ยงวัน",
}


def picture(name):
    """A picture of 96 pixels that differs by name."""
    colour = "#" + hashlib.sha256(name.encode()).hexdigest()[:6]
    drawn = Image.new("RGB", (96, 96), "white")
    ImageDraw.Draw(drawn).ellipse((16, 16, 80, 80), fill=colour)
    stream = io.BytesIO()
    drawn.save(stream, "PNG")
    return stream.getvalue()


def write_study(
    folder, design="likert", media="picture", text=None, language="en", prompt=None, **fields
):
    """Write a study and its outputs to a folder.

    `text` is what every model answers, in `language`; `prompt` what all are asked.
    """
    drawn = study_of(design, media=media, **fields)
    (folder / OUTPUTS).mkdir(parents=True)

    def output(item, name):
        if media == "picture":
            content = picture(f"{item.id} {name}")
        else:
            content = f"{text or TEXTS.get(language, TEXTS['en'])} ({name})".encode()
        kept = Output(sha256=hashlib.sha256(content).hexdigest(), media=media)
        (folder / kept.file).write_bytes(content)
        return kept

    def filled(item):
        outputs = {name: output(item, name) for name in item.outputs}
        said = {"prompt": prompt} if prompt else {}
        return item.model_copy(update={"outputs": outputs, "language": language, **said})

    items = tuple(map(filled, drawn.items))
    study = drawn.model_copy(update={"items": items})
    (folder / STUDY_FILE).write_bytes(study.canonical())
    return study


@contextmanager
def served(folder, sent=None, **options):
    """The address of the raters' pages of a study; what is sent is added to the list `sent`."""
    app = create_app(Site(folder, **options))

    async def recorded(scope, receive, send):
        async def answer(message):
            if sent is not None:
                sent.append(message)
            await send(message)

        await app(scope, receive, answer)

    with running(AppServer(recorded)) as url:
        yield url


class Client:
    """A rater without a browser: follows links, fills in forms."""

    def __init__(self, url, token=None, **options):
        self.http = httpx2.Client(base_url=url, follow_redirects=True, timeout=30, **options)
        self.page = self.http.get(f"/r/{token}" if token else "/")
        if token and self.page.status_code == 200:
            self.page = self.http.get("/")

    @property
    def text(self):
        return self.page.text

    def form(self, action):
        """The hidden fields of a form of the page."""
        found = re.search(rf'<form method="post" action="{action}".*?</form>', self.text, re.S)
        assert found, f"no form {action} on the page {re.findall('<h1.*', self.text)}"
        hidden = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', found[0])
        return {name: unescape(value) for name, value in hidden}

    def send(self, action, **fields):
        self.page = self.http.post(action, data={**self.form(action), **fields})
        return self.page

    def agree(self):
        version = re.search(r'name="agree" value="([^"]+)"', self.text)[1]
        self.send("/consent", country="TH", language=["th", "en"], agree=version)
        return self

    def begin(self):
        """Through consent and training, with the first choice everywhere."""
        self.agree()
        if "/training/0" in self.text:
            self.page = self.http.get("/training/0")
            while '"/trained"' not in self.text:
                action = re.search(r'action="(/training/\d+)"', self.text)[1]
                self.send(action, **self.choices())
                if following := re.search(r'href="(/training/\d+)"', self.text):
                    self.page = self.http.get(following[1])
        self.send("/trained")
        return self

    def choices(self, number=0):
        """For every question of the page the choice of that number."""
        offered = {}
        for name, value in re.findall(r'type="radio" name="([\w-]+)" value="([\w-]+)"', self.text):
            offered.setdefault(name, []).append(value)
        return {name: values[min(number, len(values) - 1)] for name, values in offered.items()}

    def judge(self, number=0):
        return self.send("/judgements", **self.choices(number))

    @property
    def finished(self):
        return '"/judgements"' not in self.text


def invited(folder, side="regional", language="th", kind="person"):
    return Store(folder).invite(side, language, kind)
