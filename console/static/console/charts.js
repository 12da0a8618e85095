// Unfold draws the charts. This makes their text follow the theme.
"use strict";

function paintCharts() {
  const style = getComputedStyle(document.documentElement);
  const dark = document.documentElement.classList.contains("dark");
  const text = style.getPropertyValue(dark ? "--color-base-300" : "--color-base-600").trim();
  const line = style.getPropertyValue(dark ? "--color-base-800" : "--color-base-200").trim();
  for (const canvas of document.querySelectorAll("canvas.chart")) {
    const chart = Chart.getChart(canvas);
    if (!chart) continue;
    for (const scale of Object.values(chart.options.scales)) {
      scale.ticks.color = scale.title.color = text;
      scale.grid.color = line;
    }
    chart.options.plugins.legend.labels.color = text;
    chart.update();
  }
}

window.addEventListener("load", () => {
  // Runs after Unfold's own listener, which draws the charts.
  setTimeout(paintCharts);
  new MutationObserver(paintCharts).observe(document.documentElement, { attributeFilter: ["class"] });
});
