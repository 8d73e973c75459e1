// Makes each figure live when it comes into view; until then, and without a script, it is a picture. Its
// expressions are interpreted, since the page's policy lets no text become a program.
{
  const live = async (figure) => {
    const chart = JSON.parse(figure.querySelector("script").textContent);
    const room = document.createElement("div");
    const quiet = { mode: "vega-lite", ast: true, actions: false, renderer: "svg", tooltip: { disableDefaultStyle: true } };
    await vegaEmbed(room, chart, quiet);
    const place = figure.querySelector(".drawing");
    place.replaceChildren(room);
    place.setAttribute("role", "group");
    figure.dataset.live = "";
  };
  const watch = new IntersectionObserver((seen) => {
    for (const one of seen.filter((entry) => entry.isIntersecting)) {
      watch.unobserve(one.target);
      live(one.target);
    }
  }, { rootMargin: "300px" });
  for (const figure of document.querySelectorAll("figure.chart")) watch.observe(figure);
}
