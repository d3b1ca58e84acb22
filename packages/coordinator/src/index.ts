/** Public names. */
export {};
