// Sees a client leave: the runtime says so by the request's signal (enable_request_signal).

export const left = (signal) =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", resolve, { once: true });
  });
