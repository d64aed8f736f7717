(function () {
  "use strict";
  var form = document.getElementById("filter");
  var words = document.getElementById("words");
  var shown = document.getElementById("shown");
  var nothing = document.getElementById("nothing");
  var buttons = Array.from(form.querySelectorAll("button"));
  var shots = Array.from(document.querySelectorAll("article")).map(function (card) {
    return {
      card: card,
      state: card.dataset.state,
      tags: JSON.parse(card.dataset.tags),
      text: card.textContent.toLowerCase()
    };
  });
  function pressed(name) {
    return buttons
      .filter(function (button) { return name in button.dataset && button.getAttribute("aria-pressed") === "true"; })
      .map(function (button) { return button.dataset[name]; });
  }
  function apply() {
    var states = pressed("state");
    var tags = pressed("tag");
    var wanted = words.value.toLowerCase().split(/\s+/);
    var count = 0;
    shots.forEach(function (shot) {
      var fits = (!states.length || states.includes(shot.state)) &&
        tags.every(function (tag) { return shot.tags.includes(tag); }) &&
        wanted.every(function (word) { return shot.text.includes(word); });
      shot.card.hidden = !fits;
      count += fits;
    });
    nothing.hidden = count > 0 || !shots.length;
    shown.textContent = count === shots.length ? "" : count + " of " + shots.length + " shots";
  }
  buttons.forEach(function (button) {
    button.addEventListener("click", function () {
      button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
      apply();
    });
  });
  words.addEventListener("input", apply);
  form.addEventListener("submit", function (event) { event.preventDefault(); });
  form.hidden = !shots.length;
})();
