/** The JSON of Castgate's public contract, as TypeScript sees it. */
export {};
//# sourceMappingURL=model.js.map