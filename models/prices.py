"""What tokens cost, in US dollars: configured, zero inside one's own house, or genai-prices."""

from __future__ import annotations

from dataclasses import dataclass

import genai_prices

from models.errors import UnknownPrice
from models.registry import ModelSpec, is_private


@dataclass(frozen=True, kw_only=True)
class Price:
    """US dollars per million tokens."""

    input: float
    output: float

    def cost(self, *, input_tokens: int, output_tokens: int) -> float:
        return (input_tokens * self.input + output_tokens * self.output) / 1_000_000


def price_of(spec: ModelSpec) -> Price:
    """The price of a model; raises ``UnknownPrice``.

    A model at a private or loopback address costs nothing unless the configuration says otherwise.
    """
    if spec.input_price is not None and spec.output_price is not None:
        return Price(input=spec.input_price, output=spec.output_price)
    if spec.local or is_private(spec.url):
        return Price(input=spec.input_price or 0.0, output=spec.output_price or 0.0)
    # The dearest tier within the context window: a budget must never be undercounted.
    tiers = [_published(spec, tokens=tokens) for tokens in (1_000, spec.context)]
    known = Price(input=max(t.input for t in tiers), output=max(t.output for t in tiers))
    return Price(
        input=known.input if spec.input_price is None else spec.input_price,
        output=known.output if spec.output_price is None else spec.output_price,
    )


def _published(spec: ModelSpec, *, tokens: int) -> Price:
    usage = genai_prices.Usage(input_tokens=tokens, output_tokens=tokens)
    try:
        found = genai_prices.calc_price(usage, model_ref=spec.model, provider_api_url=spec.url)
    except LookupError:
        raise UnknownPrice(
            f"the price of model '{spec.model}' at {spec.place} is not known, so that its cost "
            "cannot be limited; configure its input and output price in US dollars per million "
            "tokens (0 if it is your own)",
            model=spec.name,
        ) from None
    per_million = 1_000_000 / tokens
    return Price(
        input=float(found.input_price) * per_million,
        output=float(found.output_price) * per_million,
    )
