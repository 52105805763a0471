//! Plots as SVG, legible on light and dark pages.

use std::fmt::Write as _;

/// What is drawn over what, both with a logarithmic axis for x.
pub struct Curve {
    pub x: String,
    pub y: String,
    pub points: Vec<(f64, f64)>,
}

const STYLE: &str = "<style>text{font:12px sans-serif;fill:#555}@media(prefers-color-scheme:dark){text{fill:#bbb}}\
.own{fill:#2a6fb0}.other{fill:#999}.line{fill:none;stroke:#2a6fb0;stroke-width:2}.axis{stroke:#999}</style>";

fn svg(width: usize, height: usize, content: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\">\n\
         {STYLE}\n{content}</svg>\n"
    )
}

/// A bar for each value, with a title above.
pub fn bars(title: &str, bars: &[(String, f64)], is_own: impl Fn(&str) -> bool) -> String {
    let most = bars.iter().map(|(_, value)| *value).fold(1.0, f64::max);
    let mut content = format!("<text x=\"8\" y=\"18\">{title}</text>\n");
    for (position, (name, value)) in bars.iter().enumerate() {
        let y = 30 + position * 22;
        let width = (value / most * 400.0).max(1.0);
        let class = if is_own(name) { "own" } else { "other" };
        let _ = writeln!(
            content,
            "<text x=\"330\" y=\"{}\" text-anchor=\"end\">{name}</text>\
             <rect class=\"{class}\" x=\"338\" y=\"{y}\" width=\"{width:.0}\" height=\"16\"/>\
             <text x=\"{:.0}\" y=\"{}\">{value:.0}</text>",
            y + 13,
            344.0 + width,
            y + 13
        );
    }
    svg(800, 40 + bars.len() * 22, &content)
}

/// A small plot for each curve, two in a row, y from zero.
pub fn curves(curves: &[Curve]) -> String {
    let (width, height) = (400, 220);
    let mut content = String::new();
    for (position, curve) in curves.iter().enumerate() {
        let (left, top) = (position % 2 * width, position / 2 * height);
        let place = |value: f64| value.ln();
        let (first, last) = match (curve.points.first(), curve.points.last()) {
            (Some(first), Some(last)) => (place(first.0), place(last.0)),
            _ => continue,
        };
        let most = curve.points.iter().map(|(_, y)| *y).fold(f64::MIN_POSITIVE, f64::max) * 1.1;
        let x = |value: f64| 50.0 + (place(value) - first) / (last - first).max(0.01) * 320.0;
        let y = |value: f64| 180.0 - value.max(0.0) / most * 140.0;
        let _ = writeln!(content, "<g transform=\"translate({left},{top})\">");
        let _ = writeln!(content, "<text x=\"50\" y=\"16\">{}</text>", curve.y);
        let _ = writeln!(content, "<text x=\"50\" y=\"212\">{}</text>", curve.x);
        content += "<path class=\"axis\" fill=\"none\" d=\"M50 36V180H380\"/>\n";
        let line: Vec<String> = curve
            .points
            .iter()
            .map(|point| format!("{:.0},{:.0}", x(point.0), y(point.1)))
            .collect();
        let _ = writeln!(content, "<polyline class=\"line\" points=\"{}\"/>", line.join(" "));
        for (at, value) in &curve.points {
            let _ = writeln!(
                content,
                "<circle class=\"own\" cx=\"{0:.0}\" cy=\"{1:.0}\" r=\"3\"/>\
                 <text x=\"{0:.0}\" y=\"{2:.0}\" text-anchor=\"middle\">{3}</text>\
                 <text x=\"{0:.0}\" y=\"196\" text-anchor=\"middle\">{4}</text>",
                x(*at),
                y(*value),
                y(*value) - 8.0,
                short(*value),
                short(*at)
            );
        }
        content += "</g>\n";
    }
    svg(2 * width, curves.len().div_ceil(2) * height, &content)
}

fn short(value: f64) -> String {
    match value {
        1e6.. => format!("{}M", value / 1e6),
        1e3.. => format!("{}k", value / 1e3),
        10.0.. => format!("{value:.0}"),
        _ if value.fract() == 0.0 => format!("{value:.0}"),
        _ => format!("{value:.1}"),
    }
}
