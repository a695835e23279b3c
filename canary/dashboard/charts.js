// The three charts of a service, drawn by dygraphs, which the page loads as a classic script.

/* global Dygraph */

const CURRENT = ["#c2410c", "#fb923c"];
const PREVIOUS = ["#1d4ed8", "#60a5fa"];

// Its markup has inline styles, which the page forbids; index.html has a legend of its own.
Dygraph.PLUGINS = Dygraph.PLUGINS.filter((plugin) => plugin !== Dygraph.Plugins.Legend);

function isDark() {
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

function options(labels, colors, more = {}) {
  return {
    labels, colors,
    drawPoints: false,
    connectSeparatedPoints: false,
    includeZero: true,
    strokeWidth: 2,
    axisLabelFontSize: 12,
    gridLineColor: isDark() ? "#3a3f47" : "#dcdfe4",
    axisLineColor: isDark() ? "#565d68" : "#b8bec8",
    interactionModel: {},
    animatedZooms: false,
    ...more,
  };
}

export class Charts {
  // `root`: the service's element.
  constructor(root) {
    this.root = root;
    this.graphs = null;
  }

  draw(series) {
    if (series.weight.length === 0) {
      this.destroy();
      return;
    }
    if (this.graphs === null) {
      this.create(series);
      return;
    }
    this.graphs.weight.updateOptions({file: series.weight});
    this.graphs.failed.updateOptions({file: series.failed});
    this.graphs.latency.updateOptions({file: series.latency});
  }

  create(series) {
    const shade = isDark() ? 1 : 0;
    const place = (name) => this.root.querySelector(`.${name}-chart`);
    const current = CURRENT[shade];
    const previous = PREVIOUS[shade];
    this.graphs = {
      weight: new Dygraph(place("weight"), series.weight,
        options(["time", "weight"], [current], {stepPlot: true, fillGraph: true, valueRange: [0, 105]})),
      failed: new Dygraph(place("failed"), series.failed,
        options(["time", "current", "previous"], [current, previous], {drawPoints: true, pointSize: 2})),
      latency: new Dygraph(place("latency"), series.latency,
        options(["time", "current p50", "current p99", "previous p50", "previous p99"],
          [current, current, previous, previous], {
            series: {"current p99": {strokePattern: [4, 3]}, "previous p99": {strokePattern: [4, 3]}},
            drawPoints: true, pointSize: 2,
          })),
    };
  }

  // Colours are taken when a chart is made.
  restyle(series) {
    this.destroy();
    this.draw(series);
  }

  resize() {
    for (const graph of Object.values(this.graphs ?? {})) {
      graph.resize();
    }
  }

  destroy() {
    for (const graph of Object.values(this.graphs ?? {})) {
      graph.destroy();
    }
    this.graphs = null;
  }
}
