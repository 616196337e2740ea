"""The team's own fixed words in an answer, in the language of the question. Pure.

English where the language of the question is not told with certainty.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from guardrails import languages, limits


@dataclass(frozen=True, kw_only=True)
class Phrases:
    """One language's words; ``reasons`` say which limit has stopped a run, by its name."""

    partial: str
    so_far: str
    listed: str
    nothing: str
    not_found: str
    not_computed: str
    part_missing: str
    unsearched: str
    empty: str
    result: str
    files: str
    reasons: Mapping[str, str]


_LIMITS = (
    limits.Limit.STEPS,
    limits.Limit.TOKENS,
    limits.Limit.COST,
    limits.Limit.SECONDS,
    limits.Limit.STEP_SECONDS,
    "loop",
    limits.Limit.MODEL_CALLS,
    limits.Limit.TOOL_CALLS,
    limits.Limit.DEPTH,
    limits.Limit.BRANCHES,
    limits.Limit.TENANT_DAY,
    limits.Limit.TENANT_MONTH,
)


def _reasons(lines: str) -> Mapping[str, str]:
    """One a line, in the order of ``_LIMITS``."""
    said = [line.strip() for line in lines.strip().splitlines()]
    return dict(zip(_LIMITS, said, strict=True))


_ENGLISH = Phrases(
    partial="I had to stop before I was done ({reason}).",
    so_far="What I have so far:",
    listed="The passages that fit the question best are listed as sources.",
    nothing="Nothing was found so far.",
    not_found="The documents do not say that. I looked for an answer to “{question}” and found "
    "none.",
    not_computed="The result could not be calculated from that.",
    part_missing="The documents do not answer: {part}",
    unsearched="The documents were not searched: {why}.",
    empty="There are no documents to answer from yet; ingest some first.",
    result="The result is {output}.",
    files="The result is in the files below.",
    reasons=_reasons(
        """
        the limit of steps was reached
        the limit of tokens was reached
        the limit of cost was reached
        the time limit was reached
        a step took too long
        an agent went round in circles
        the limit of model calls was reached
        the limit of tool calls was reached
        work was handed on too deep
        too much was asked for at once
        today's budget is used up
        this month's budget is used up
        """
    ),
)
REASONS = frozenset(_ENGLISH.reasons)
"""Why a run may have been stopped before it was done."""

_OTHERS = {
    "de": Phrases(
        partial="Ich musste aufhören, bevor ich fertig war ({reason}).",
        so_far="Was ich bisher habe:",
        listed="Die Stellen, die am besten zur Frage passen, stehen unter den Quellen.",
        nothing="Bisher wurde nichts gefunden.",
        not_found="Das steht nicht in den Dokumenten. Ich habe nach einer Antwort auf „{question}“ "
        "gesucht und keine gefunden.",
        not_computed="Das Ergebnis ließ sich daraus nicht berechnen.",
        part_missing="Die Dokumente beantworten nicht: {part}",
        unsearched="Die Dokumente wurden nicht durchsucht: {why}.",
        empty="Es gibt noch keine Dokumente, aus denen sich antworten lässt; bitte zuerst welche "
        "hinzufügen.",
        result="Das Ergebnis ist {output}.",
        files="Das Ergebnis steht in den Dateien unten.",
        reasons=_reasons(
            """
            die Höchstzahl an Schritten ist erreicht
            die Höchstzahl an Tokens ist erreicht
            die Kostengrenze ist erreicht
            die Zeitgrenze ist erreicht
            ein Schritt hat zu lange gedauert
            ein Agent hat sich im Kreis gedreht
            die Höchstzahl an Modellaufrufen ist erreicht
            die Höchstzahl an Werkzeugaufrufen ist erreicht
            die Arbeit wurde zu oft weitergereicht
            es wurde zu viel auf einmal verlangt
            das Budget für heute ist aufgebraucht
            das Budget für diesen Monat ist aufgebraucht
            """
        ),
    ),
    "fr": Phrases(
        partial="J'ai dû m'arrêter avant d'avoir terminé ({reason}).",
        so_far="Ce que j'ai jusqu'ici :",
        listed="Les passages qui correspondent le mieux à la question figurent parmi les sources.",
        nothing="Rien n'a été trouvé jusqu'ici.",
        not_found="Les documents ne le disent pas. J'ai cherché une réponse à « {question} » et "
        "n'en ai trouvé aucune.",
        not_computed="Le résultat n'a pas pu être calculé à partir de cela.",
        part_missing="Les documents ne répondent pas à ceci : {part}",
        unsearched="Les documents n'ont pas été consultés : {why}.",
        empty="Il n'y a pas encore de documents à partir desquels répondre ; ajoutez-en d'abord.",
        result="Le résultat est {output}.",
        files="Le résultat se trouve dans les fichiers ci-dessous.",
        reasons=_reasons(
            """
            la limite d'étapes est atteinte
            la limite de tokens est atteinte
            la limite de coût est atteinte
            la limite de temps est atteinte
            une étape a pris trop de temps
            un agent a tourné en rond
            la limite d'appels au modèle est atteinte
            la limite d'appels d'outils est atteinte
            le travail a été transmis trop de fois
            trop de choses ont été demandées à la fois
            le budget du jour est épuisé
            le budget du mois est épuisé
            """
        ),
    ),
    "es": Phrases(
        partial="Tuve que parar antes de terminar ({reason}).",
        so_far="Lo que tengo hasta ahora:",
        listed="Los pasajes que mejor encajan con la pregunta figuran entre las fuentes.",
        nothing="Hasta ahora no se ha encontrado nada.",
        not_found="Los documentos no lo dicen. He buscado una respuesta a «{question}» y no he "
        "encontrado ninguna.",
        not_computed="El resultado no se ha podido calcular a partir de eso.",
        part_missing="Los documentos no responden a esto: {part}",
        unsearched="No se ha buscado en los documentos: {why}.",
        empty="Todavía no hay documentos con los que responder; añada algunos primero.",
        result="El resultado es {output}.",
        files="El resultado está en los archivos de abajo.",
        reasons=_reasons(
            """
            se ha alcanzado el límite de pasos
            se ha alcanzado el límite de tokens
            se ha alcanzado el límite de coste
            se ha alcanzado el límite de tiempo
            un paso ha tardado demasiado
            un agente ha dado vueltas en círculo
            se ha alcanzado el límite de llamadas al modelo
            se ha alcanzado el límite de llamadas a herramientas
            el trabajo se ha delegado demasiadas veces
            se ha pedido demasiado a la vez
            el presupuesto de hoy está agotado
            el presupuesto de este mes está agotado
            """
        ),
    ),
    "it": Phrases(
        partial="Ho dovuto fermarmi prima di finire ({reason}).",
        so_far="Quello che ho finora:",
        listed="I passaggi più adatti alla domanda sono elencati tra le fonti.",
        nothing="Finora non è stato trovato nulla.",
        not_found="I documenti non lo dicono. Ho cercato una risposta a «{question}» e non ne ho "
        "trovata nessuna.",
        not_computed="Non è stato possibile calcolare il risultato da questo.",
        part_missing="I documenti non rispondono a questo: {part}",
        unsearched="I documenti non sono stati consultati: {why}.",
        empty="Non ci sono ancora documenti da cui rispondere; prima occorre aggiungerne.",
        result="Il risultato è {output}.",
        files="Il risultato è nei file qui sotto.",
        reasons=_reasons(
            """
            è stato raggiunto il limite di passi
            è stato raggiunto il limite di token
            è stato raggiunto il limite di costo
            è stato raggiunto il limite di tempo
            un passo ha richiesto troppo tempo
            un agente ha girato in tondo
            è stato raggiunto il limite di chiamate al modello
            è stato raggiunto il limite di chiamate agli strumenti
            il lavoro è stato delegato troppe volte
            è stato chiesto troppo in una volta
            il budget di oggi è esaurito
            il budget di questo mese è esaurito
            """
        ),
    ),
    "pt": Phrases(
        partial="Tive de parar antes de terminar ({reason}).",
        so_far="O que tenho até agora:",
        listed="As passagens que melhor correspondem à pergunta estão entre as fontes.",
        nothing="Até agora nada foi encontrado.",
        not_found="Os documentos não o dizem. Procurei uma resposta a “{question}” e não encontrei "
        "nenhuma.",
        not_computed="Não foi possível calcular o resultado a partir disso.",
        part_missing="Os documentos não respondem a isto: {part}",
        unsearched="Os documentos não foram pesquisados: {why}.",
        empty="Ainda não há documentos a partir dos quais responder; adicione alguns primeiro.",
        result="O resultado é {output}.",
        files="O resultado está nos ficheiros abaixo.",
        reasons=_reasons(
            """
            foi atingido o limite de passos
            foi atingido o limite de tokens
            foi atingido o limite de custo
            foi atingido o limite de tempo
            um passo demorou demasiado
            um agente andou em círculos
            foi atingido o limite de chamadas ao modelo
            foi atingido o limite de chamadas a ferramentas
            o trabalho foi delegado demasiadas vezes
            foi pedido demasiado de uma só vez
            o orçamento de hoje está esgotado
            o orçamento deste mês está esgotado
            """
        ),
    ),
    "nl": Phrases(
        partial="Ik moest stoppen voordat ik klaar was ({reason}).",
        so_far="Wat ik tot nu toe heb:",
        listed="De passages die het best bij de vraag passen, staan bij de bronnen.",
        nothing="Tot nu toe is er niets gevonden.",
        not_found="Dat staat niet in de documenten. Ik heb naar een antwoord op “{question}” "
        "gezocht en er geen gevonden.",
        not_computed="Het resultaat kon daaruit niet worden berekend.",
        part_missing="De documenten geven geen antwoord op: {part}",
        unsearched="De documenten zijn niet doorzocht: {why}.",
        empty="Er zijn nog geen documenten om uit te antwoorden; voeg er eerst een paar toe.",
        result="Het resultaat is {output}.",
        files="Het resultaat staat in de bestanden hieronder.",
        reasons=_reasons(
            """
            het maximum aantal stappen is bereikt
            het maximum aantal tokens is bereikt
            de kostenlimiet is bereikt
            de tijdslimiet is bereikt
            een stap duurde te lang
            een agent draaide in een kringetje rond
            het maximum aantal modelaanroepen is bereikt
            het maximum aantal toolaanroepen is bereikt
            het werk is te vaak doorgegeven
            er is te veel tegelijk gevraagd
            het budget van vandaag is op
            het budget van deze maand is op
            """
        ),
    ),
    "zh": Phrases(
        partial="我在完成之前不得不停止（{reason}）。",
        so_far="目前的结果：",
        listed="与问题最相关的段落已列为来源。",
        nothing="目前没有找到任何内容。",
        not_found="文档中没有说明这一点。我查找了“{question}”的答案，但没有找到。",
        not_computed="无法据此计算出结果。",
        part_missing="文档没有回答：{part}",
        unsearched="没有检索文档：{why}。",
        empty="目前还没有可供回答的文档；请先添加文档。",
        result="结果是 {output}。",
        files="结果在下面的文件中。",
        reasons=_reasons(
            """
            已达到步数上限
            已达到 token 上限
            已达到费用上限
            已达到时间上限
            某一步耗时过长
            某个智能体陷入了循环
            已达到模型调用次数上限
            已达到工具调用次数上限
            任务转交的层级过多
            一次请求的内容过多
            今天的预算已用完
            本月的预算已用完
            """
        ),
    ),
    "ja": Phrases(
        partial="完了する前に停止しました（{reason}）。",
        so_far="これまでの結果：",
        listed="質問に最も近い箇所を出典として挙げています。",
        nothing="これまでのところ、何も見つかっていません。",
        not_found="文書にはその記載がありません。「{question}」の答えを探しましたが、見つかりませんでした。",
        not_computed="そこから結果を計算することはできませんでした。",
        part_missing="文書には次の答えがありません：{part}",
        unsearched="文書は検索されませんでした：{why}。",
        empty="回答のもとになる文書がまだありません。先に文書を追加してください。",
        result="結果は {output} です。",
        files="結果は下のファイルにあります。",
        reasons=_reasons(
            """
            ステップ数の上限に達しました
            トークン数の上限に達しました
            費用の上限に達しました
            時間の上限に達しました
            一つのステップに時間がかかりすぎました
            エージェントが堂々巡りをしました
            モデル呼び出し回数の上限に達しました
            ツール呼び出し回数の上限に達しました
            作業の委譲が深くなりすぎました
            一度に求められたことが多すぎました
            本日の予算を使い切りました
            今月の予算を使い切りました
            """
        ),
    ),
}


def of(question: str) -> Phrases:
    """The words for whoever asks this."""
    return _OTHERS.get(languages.language(question), _ENGLISH)
