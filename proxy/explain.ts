export function explainService(): void {}
