//! Figures that were promised, and that a busy machine cannot be held to.

use std::fmt::Arguments;

/// Tells a figure, for whoever reads what a test says.
#[expect(clippy::print_stdout, reason = "the test runner captures it")]
pub fn tell(figure: Arguments<'_>) {
    println!("{figure}");
}
