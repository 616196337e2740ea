"""Which texts are not English, and the little words that say nothing in other languages. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

PAIRED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uff66-\uff9f"
"""Letters of languages whose words run together, for a class of a regular expression."""
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_OTHER_SCRIPT = re.compile(r"[^\W\d_\u0000-\u024f\u1e00-\u1eff]")
_ACCENTED = re.compile(r"[^\W\d_a-zA-Z]")

_ENGLISH = frozenset(
    """
    a all am an and any are as at be been but by can could did do does for from had has have he
    how i if in is it its many may me much must my no not of on or our shall should so that the
    their there these they this to was we were what when where which who whom whose why will
    with would you your
    """.split()
)
_LISTED = """
    aber als am an auch auf aus bei beim bin bis da dann das dass dem den der des die dies diese
    dieser dieses durch ein eine einem einen einer eines er es für gibt hat habe haben hier ich ihr
    ihre im in ist ja kann kannst kein keine können man mein meine mich mir mit muss müssen nach
    nicht noch nur oder ohne pro sein seine sich sie sind so soll sollte über um und uns unser
    unsere unter viel viele vom von vor wann warum was welche welchem welchen welcher welches wenn
    wer werden wie wieviel wir wird wo wofür woher wohin worauf zu zum zur zwischen

    au aux avec ce ces cette combien comment dans de des du elle elles en entre est et être il ils
    je la le les leur leurs lui ma mais mes moi mon ne nos notre nous où ou par pas pendant peut
    peux plus pour pourquoi quand que quel quelle quelles quels qui quoi sa sans se ses si sont
    sous sur ta tes ton tous tout toute toutes un une vos votre vous

    al ante como cómo con cuál cuáles cualquier cuándo cuando cuánta cuántas cuánto cuántos de del
    desde dónde donde el ella ellos en entre es esta este esto están está hasta hay la las lo los
    más me mi mis muy no nos para pero por porque puede puedo qué que quién quien se ser si sin
    sobre son su sus también tengo tiene tienen un una uno unos y ya yo

    agli ai al alla alle allo anche che chi ci come con cosa da dai dal dalla degli dei del della
    delle dello di dopo dove e gli ha hanno ho i il io la le lo loro mia mio ne nei nel nella nelle
    noi non o per perché più posso può quale quali quando quanta quante quanti quanto questa questo
    se si sono su sua suo sul sulla tra un una uno voi è

    ao aos as até com como da das de do dos e em entre eu foi isso já mais meu minha na nas não no
    nos o os ou para pela pelo pode posso por qual quais quando quanto quantos que quem são se sem
    ser seu sua tem tenho uma um você à às é

    aan als bij dan dat de deze die dit door een en er geen heb hebben heeft het hoe hoeveel hun ik
    in is je jij kan kunnen maar me met mijn moet na naar niet nog of om ons onze ook op over
    te tot uit van voor waar waarom wanneer wat we welk welke wie wij worden wordt ze zijn zou

    att av den det du där en ett från för har hur hvad hvem hvor hvordan hvornår inte jag kan
    kunna man med mig min mitt måste ni när och om på samt ska som till under upp vad var varför
    vem vi vid vilka vilken vilket än är är åt af at der eller er et fra ikke jeg mange må og skal
    til ved være

    a ale bez być czy dla do gdzie go i ile jak jaka jaki jakie jest już kiedy kto która który
    które lub ma mam mogę może można na nie o od po pod przez przy są się ta tak te ten to w we z
    za ze że kdo kde kdy jaký která které je jsem jsou má mohu pro při se si ve
"""
FUNCTION_WORDS = frozenset(_LISTED.split())
"""Of German, French, Spanish, Italian, Portuguese, Dutch, Swedish, Danish, Polish and Czech."""
_BY_LANGUAGE = {
    name: frozenset(words.split())
    for name, words in zip(
        ("de", "fr", "es", "it", "pt", "nl", "sv+da", "pl+cs"), _LISTED.split("\n\n"), strict=True
    )
}
_SHORT = 3
# What somebody else wrote, and the names of files.
_QUOTED = re.compile(r"\"[^\"]*\"|“[^”]*”|„[^“”]*[“”]|«[^»]*»|`[^`]*`|(?<!\S)\S+\.\w{2,5}\b")
_BEGINS = re.compile(r"(?:^|[.!?:¿¡\n])\W*$")
_MOST_READ = 2_000
_KANA = re.compile("[\u3041-\u3096\u30a1-\u30fa]")
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff]")
_HANGUL = re.compile("[\u1100-\u11ff\uac00-\ud7af]")
# What Japanese text without kana does not have.
_CHINESE = re.compile(
    "多少[天钱錢人个個]|[吗嗎呢吧么麼怎哪谁們们这几你您请为为从个对应该说过还让问题时间员费办经进现发边]"
)


def is_foreign(text: str) -> bool:
    """Whether a text is surely not English: another script, or another language's little words."""
    words = [word.lower() for word in _WORD.findall(text)]
    # "10 kΩ" is English still.
    if 4 * len(_OTHER_SCRIPT.findall(text)) > sum(map(len, words)):
        return True
    theirs = sum(word in FUNCTION_WORDS for word in words)
    ours = sum(word in _ENGLISH for word in words)
    return theirs > ours and (theirs > 1 or _ACCENTED.search(text) is not None)


def language(text: str) -> str:
    """The language of a text that is surely in one of these: ``de``, ``fr``, ``es``, ``it``,
    ``pt``, ``nl``, ``zh`` or ``ja``; '' for English and all that is not told with certainty."""
    text = text[:_MOST_READ]
    own = _QUOTED.sub(" ", text)
    text = own if _WORD.search(own) else text
    if not is_foreign(text) or _HANGUL.search(text):
        return ""
    said = set(_words(text))
    english = said & _ENGLISH
    if _KANA.search(text) or _HAN.search(text):
        if english:
            return ""
        return "ja" if _KANA.search(text) else "zh" if _CHINESE.search(text) else ""
    if 4 * len(_OTHER_SCRIPT.findall(text)) > len(text):
        return ""
    known = {name: said & words for name, words in _BY_LANGUAGE.items()}
    best = max(known, key=lambda name: len(known[name]))
    most = max(len(words) for name, words in known.items() if name != best)
    if len(known[best]) <= max(most, 2 * len(english - known[best])):
        return ""
    # One word that is as short stands in too many languages; of two that tie it may be either.
    enough = len(known[best]) > 1 or any(len(word) > _SHORT for word in known[best])
    return best if enough and "+" not in best else ""


def _words(text: str) -> Iterator[str]:
    """Its words, but for those that are written as a part of a name."""
    for found in _WORD.finditer(text):
        if text.isupper() or found[0][0].islower() or _BEGINS.search(text[: found.start()]):
            yield from re.split("['’]", found[0].lower())
