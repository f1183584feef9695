"""The ground on which everything stands: no feature, and no Flask."""
