// Readers of the platform's byte streams: the web's bindings know no `readAtLeast`.

export const reader = (stream) => stream.getReader({ mode: "byob" });

export const read = (reader, length) =>
  reader.readAtLeast(length, new Uint8Array(length)).then(({ value }) => value);
