# Shorter names for those who have `just`; nobody needs it, each line here can be typed as it stands.

# Lists the recipes
default:
    @just --list

# Builds the program and runs it with demo data on http://localhost:3001
demo *arguments:
    cargo xtask demo {{ arguments }}

# Format, lints, all tests, documentation
test:
    cargo xtask test

# Writes openapi/heimdell.json anew
openapi:
    cargo xtask openapi

# Benchmarks
bench *arguments:
    cargo xtask bench {{ arguments }}

# Formats the code
fmt:
    cargo fmt

# Format and lints, as the test run looks at them
lint:
    cargo fmt --check
    cargo clippy --workspace --all-targets -- -D warnings
