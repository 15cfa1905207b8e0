// The API, as the page uses it.

async function call(path, body) {
  const options = body && { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("The server does not answer. Is it still running?");
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.error?.message ?? `The server answered ${response.status}.`);
  return answer;
}

export const about = () => call("/about");
export const health = () => call("/health");
export const search = (query, systems) => call("/search", { query, systems });
export const vote = (query, better, k, blind) => call("/votes", { query, better, k, blind });
export const mark = (query, passageId, grade) => call("/marks", { query, passage_id: passageId, grade });
