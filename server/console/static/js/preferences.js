// What one person likes, on this browser. Nothing secret: the key is elsewhere, for one tab.

const NAME = "counterpoint.console";
const USUAL = { letters: true, undoSeconds: 5 };

export function preferences() {
  try {
    const kept = JSON.parse(localStorage.getItem(NAME) ?? "{}");
    const seconds = Number(kept.undoSeconds);
    return {
      letters: typeof kept.letters === "boolean" ? kept.letters : USUAL.letters,
      undoSeconds: [5, 10, 20].includes(seconds) ? seconds : USUAL.undoSeconds,
    };
  } catch {
    return { ...USUAL };
  }
}

export function prefer(liked) {
  localStorage.setItem(NAME, JSON.stringify(liked));
}
