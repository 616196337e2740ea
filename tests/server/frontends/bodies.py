"""What chat frontends send by themselves: the marks of their templates are theirs, to the letter;
the guidelines between are shortened in our words."""

from __future__ import annotations

TALK = "USER: How long can I return an annual plan?\nASSISTANT: Within 45 days [1]."


def open_webui(begins: str, output: str, *, talk: str = TALK, end: str = "") -> str:
    """Open WebUI's shape of a task."""
    return (
        f"### Task:\n{begins}\n\n### Guidelines:\n- Use the chat's language.\n\n"
        f"### Output:\n{output}\n\n### Chat History:\n<chat_history>\n{talk}\n</chat_history>{end}"
    )


TITLE = (
    "Generate a concise, 3-5 word title with an emoji summarizing the chat history.",
    'JSON format: { "title": "your concise title here" }',
)
LATER_TITLE = ("Generate a concise title summarizing the chat history.", TITLE[1])
TAGS = (
    (
        "Generate 1-3 broad tags categorizing the main themes of the chat history, along with "
        "1-3 more specific subtopic tags."
    ),
    'JSON format: { "tags": ["tag1", "tag2", "tag3"] }',
)
FOLLOW_UPS = (
    (
        "Suggest 3-5 relevant follow-up questions or prompts that the user might naturally ask "
        "next in this conversation as a **user**, based on the chat history, to help continue or "
        "deepen the discussion."
    ),
    'JSON format: { "follow_ups": ["Question 1?", "Question 2?", "Question 3?"] }',
)
QUERIES = (
    (
        "Analyze the chat history to determine the necessity of generating search queries, in the "
        "given language. By default, **prioritize generating 1-3 broad and relevant search "
        "queries**."
    ),
    'Strictly return in JSON format: \n{\n  "queries": ["query1", "query2"]\n}',
)
IMAGE = (
    (
        "Generate a detailed prompt for am image generation task based on the given language and "
        "context."
    ),
    'Strictly return in JSON format:\n{\n    "prompt": "Your detailed description here."\n}',
)
AUTOCOMPLETE = (
    "### Task:\nYou are an autocompletion system. Continue the text in `<text>` based on the "
    "**completion type** in `<type>` and the given language.  \n\n### **Output Rules**:\n"
    '- Respond only in JSON format: `{ "text": "<your_completion>" }`.\n\n---\n### Context:\n'
    f"<chat_history>\n{TALK}\n</chat_history>\n<type>General</type>  \n<text>How long</text>  \n"
    "#### Output:\n"
)
LIBRECHAT = (
    "Provide a concise, 5-word-or-less title for the conversation, using its same language, with "
    "no punctuation. Apply title case conventions appropriate for the language. Never directly "
    'mention the language name or the word "title" and only return the title itself.\n\n'
    "Conversation:\nUser: How long can I return a plan?\nAI: Within 45 days [1]."
)
EARLIER_LIBRECHAT = (
    "Provide a concise, 5-word-or-less title for the conversation, using title case conventions. "
    "Only return the title itself.\n\nConversation:\nUser: How long?\nAI: 45 days."
)
RAG = (
    "### Task:\nRespond to the user query using the provided context, incorporating inline "
    "citations in the format [id] **only when the <source> tag includes an explicit id "
    "attribute**.\n\n"
    '### Output:\nGive a "title" and an answer.\n\n<context>\n<source id="1">45 days</source>\n'
    "</context>\n\n<user_query>\nHow long?\n</user_query>"
)
