"""What the name of a folder says of its part in an experiment: train, val or test, in the spellings people use.

``seg_train``, ``TRAIN-set``, ``train_images2``, ``validación`` and their like in Chinese name splits; ``train_station``
does not, because the word that makes it a name is another one. Nothing here looks at files.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

Role = Literal["train", "val", "test", "eval", "pred", "trainval"]
_SPELLINGS: dict[Role, str] = {
    # English first, then German, French, Spanish, Portuguese, Italian, Dutch, Polish, Russian, Turkish.
    "train": "train training trn "
    "trainieren lernen entrainement apprentissage entrenamiento treino treinamento addestramento trening uczacy "
    "treningowy обучение обучающая тренировка тренировочная egitim",
    "val": "val valid validate validation dev devel development "
    "validierung validacion validacao validazione validatie walidacja walidacyjny валидация валидационная dogrulama",
    "test": "test tests testing tst holdout heldout "
    "prueba pruebas teste testes prova testen testowy тест тестовая тестирование",
    "eval": "eval evaluate evaluation auswertung evaluacion avaliacao valutazione",
    "pred": "pred preds predict prediction predictions inference infer submission unlabeled nolabel nolabels",
}
# Too short to mean anything but next to each other.
_SHORT: Mapping[str, Role] = {"tr": "train", "trn": "train", "va": "val", "vl": "val", "te": "test", "ts": "test"}
# Scripts without spaces: the word may be followed by "set", "data", "images" of the same script.
_UNSPACED: dict[Role, str] = {
    "train": "训练 訓練 学习 学習 훈련 학습",
    "val": "验证 驗證 検証 검증",
    "test": "测试 測試 试验 テスト 評価 테스트 시험",
    "pred": "预测 預測 予測 예측",
}
_UNSPACED_ENDS = "数据集 數據集 数据 數據 图像 圖像 图片 画像 データ セット 用 集 세트 데이터 용"
# Words that say no more than that there are pictures in it.
_PLAIN_WORDS = (
    "set sets data dataset datasets image images img imgs picture pictures photo photos patch patches tile tiles chip "
    "chips sample samples example examples split splits subset part folder folders dir file files class classes the of "
    "and new final full all jpg jpeg png tif tiff rgb raw original orig labeled resized cropped processed clean public "
    "private a b c d v ds daten datensatz bilder donnees imagenes datos dados imagens dati immagini выборка данные"
)
_PLAIN = frozenset(_PLAIN_WORDS.split())
_ENDS = "sets?|data|dataset|images?|imgs?|patches|tiles|split"
# A word in lower case, in capitals or with one capital; a run of digits; a run of another script.
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_A-Za-z]+")
_PART = re.compile(r"(?:fold|k|cv|part|batch|chunk|shard|group|run|subset|set|split|teil|partie)?[ _.-]*\d{1,3}", re.I)
_DATE = re.compile(r"(19|20)\d\d([ _.-]?\d\d){0,2}")
_MGRS = re.compile(r"T?\d{1,2}[C-X][A-Z]{2}")
_FOLD = re.compile(r"(?:k[ _.-]?)?(?:cv[ _.-]?)?(?:fold|falte|pli|折)s?[ _.-]*\d{1,3}|\d{1,3}[ _.-]?(?:fold|折)", re.I)


def _plain(text: str) -> str:
    """Without accents."""
    apart = unicodedata.normalize("NFKD", text)
    return unicodedata.normalize("NFC", "".join(c for c in apart if not unicodedata.combining(c)))


_ROLES: Mapping[str, Role] = {
    _plain(word).casefold(): role
    for spellings in (_SPELLINGS, _UNSPACED)
    for role, words in spellings.items()
    for word in words.split()
}
_ENGLISH = "|".join(sorted((w for words in _SPELLINGS.values() for w in words.split()), key=len, reverse=True))
_JOINED = re.compile(rf"({_ENGLISH})(?:{_ENDS})")
_OTHERS = "|".join(_plain(w) for words in _UNSPACED.values() for w in words.split())
_UNSPACED_JOINED = re.compile(rf"({_OTHERS})(?:{'|'.join(map(_plain, _UNSPACED_ENDS.split()))})*")


@dataclass(frozen=True)
class FolderName:
    """What a folder's name says.

    Attributes
    ----------
    role : str or None
        What its one word for a part of an experiment stands for; ``None`` without such a word, or with several
        that contradict each other.
    rest : tuple of str
        The other words, without digits and those that say no more than "pictures".
    last : bool
        Whether the word for the part comes after all of `rest`, as in ``seg_train``: the word that comes last makes
        the name, so ``train_station`` is a station.
    """

    role: Role | None
    rest: tuple[str, ...] = ()
    last: bool = False

    @property
    def exact(self) -> bool:
        """Whether it names a part of an experiment and nothing else."""
        return self.role is not None and not self.rest


def words_of(name: str) -> list[str]:
    """Words of a name in lower case without accents: ``TrainImages-2`` has train, images and 2."""
    words = [re.sub("l+ed$", "led", word.casefold()) for word in _WORD.findall(_plain(name))]
    for place in range(len(words) - 1, 0, -1):
        if words[place] == "out" and words[place - 1] in ("hold", "held"):
            words[place - 1 : place + 1] = ["holdout"]
    return words


def role_of(word: str) -> Role | None:
    """The part of an experiment that a word names."""
    if word == "trainval":
        return "trainval"
    if word in _ROLES:
        return _ROLES[word]
    joined = _JOINED.fullmatch(word) or _UNSPACED_JOINED.fullmatch(word)
    return _ROLES[joined[1]] if joined else None


def read_name(name: str) -> FolderName:
    """Read what the name of a folder says.

    Examples
    --------
    >>> read_name("seg_train").role, read_name("train_images").exact, read_name("train_station").last
    ('train', True, False)
    """
    roles: list[Role] = []
    rest: list[str] = []
    last = False
    for word in words_of(name):
        role = role_of(word)
        if role is not None:
            roles.append(role)
            last = True
        elif not (word.isdigit() or word in _PLAIN):
            rest.append(word)
            last = False
    named = set(roles)
    if named == {"train", "val"}:
        named = {"trainval"}
    elif "pred" in named:
        named = {"pred"}
    elif named == {"test", "eval"}:
        named = {"test"}
    if len(named) != 1:
        return FolderName(None, tuple(rest))
    return FolderName(named.pop(), tuple(rest), last)


def split_roles(names: Collection[str]) -> dict[str, Role]:
    """Those of sibling folders whose names make them parts of an experiment.

    A name with other words besides counts only where it comes with a partner that has the same other words and
    another part (``seg_train`` with ``seg_test``), or where its word for the part comes last and a sibling is one too.

    Examples
    --------
    >>> split_roles(["seg_train", "seg_test"])
    {'seg_train': 'train', 'seg_test': 'test'}
    >>> split_roles(["train_station", "test_site", "airport"])
    {}
    """
    read = {name: read_name(name) for name in names}
    exact = {name: one.role for name, one in read.items() if one.exact}
    partners: dict[tuple[str, ...], set[Role]] = {}
    for one in read.values():
        if one.role is not None and one.rest:
            partners.setdefault(one.rest, set()).add(one.role)
    lasts = Counter(one.role for one in read.values() if one.role is not None and (one.last or one.exact))
    found: dict[str, Role] = {name: _SHORT[name.lower()] for name in names if name.lower() in _SHORT}
    if len(set(found.values()) | set(exact.values())) < 2:
        found = {}
    for name, one in read.items():
        if one.role is None:
            continue
        paired = len(partners.get(one.rest, ())) > 1
        if one.exact or paired or (one.last and (exact or len(lasts) > 1)):
            found[name] = one.role
    return found


def splits_of(roles: Mapping[str, Role]) -> dict[str, str | None]:
    """Split of each folder, given its part: ``eval`` is val where there is a test and no val, else test.

    Training and validation patches in one folder have no split yet.
    """
    named = set(roles.values())
    meanings: dict[Role, str | None] = {
        "train": "train",
        "val": "val",
        "test": "test",
        "pred": "test",
        "trainval": None,
    }
    meanings["eval"] = "val" if "test" in named and "val" not in named else "test"
    return {name: meanings[role] for name, role in roles.items()}


def is_fold(name: str) -> bool:
    """Whether a folder is named as one of the folds of a cross-validation."""
    return _FOLD.fullmatch(_plain(name)) is not None


def is_part(name: str) -> bool:
    """Whether a folder is named by a number, alone or after a word such as part or fold, a date or an MGRS tile."""
    return any(pattern.fullmatch(_plain(name)) is not None for pattern in (_FOLD, _PART, _DATE, _MGRS))
