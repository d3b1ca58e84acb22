/** Names for sister packages and tests. */
export {};
