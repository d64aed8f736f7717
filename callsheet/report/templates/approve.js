(function () {
  "use strict";
  var MOST_WORDS = 20;
  var bar = document.getElementById("decisions");
  var by = document.getElementById("by");
  var said = document.getElementById("said");
  var command = document.getElementById("command");
  var save = document.getElementById("save");
  var copy = document.getElementById("copy");
  var batch = bar.dataset.batch;
  var questions = Array.from(document.querySelectorAll("fieldset.decide")).map(function (field) {
    var boxes = Array.from(field.querySelectorAll("input[type=checkbox]"));
    return {
      field: field,
      shot: field.dataset.shot,
      shown: JSON.parse(field.dataset.shown),
      takes: boxes.filter(function (box) { return box.value !== "reject"; }),
      reject: boxes.find(function (box) { return box.value === "reject"; }),
      note: field.querySelector(".note")
    };
  });
  function line(text) {
    return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, " ").trim();
  }
  function quoted(text) {
    var plain = line(text);
    return /^[\w@%+=:,./-]+$/.test(plain) ? plain : "'" + plain.replace(/'/g, "'\"'\"'") + "'";
  }
  function chosen(question) {
    return question.takes.filter(function (box) { return box.checked; }).map(function (box) { return Number(box.value); });
  }
  function decisions() {
    return questions
      .filter(function (question) { return question.reject.checked || chosen(question).length; })
      .map(function (question) {
        return {
          shot: question.shot,
          takes: chosen(question),
          reject: question.reject.checked,
          note: line(question.note.value),
          shown: question.shown
        };
      });
  }
  function word(decision) {
    var takes = decision.takes.map(function (take) { return take + "@" + decision.shown[take]; });
    return quoted(decision.shot + "=" + (decision.reject ? "reject" : takes.join(",")));
  }
  function words(made) {
    var brief = made.length <= MOST_WORDS && made.every(function (decision) { return !decision.note; });
    var name = brief && line(by.value) ? ["--by", quoted(by.value)] : [];
    var what = brief ? made.map(word) : ["--file", "decisions.json"];
    return ["callsheet", "approve", quoted(batch)].concat(what, name).join(" ");
  }
  function show() {
    var made = decisions();
    said.textContent = made.length + " of " + questions.length + " decided";
    command.textContent = words(made.length ? made : [{ note: "-" }]);
    save.disabled = copy.disabled = !made.length;
  }
  questions.forEach(function (question) {
    question.field.hidden = false;
    question.field.addEventListener("change", function (event) {
      if (event.target === question.reject && question.reject.checked) {
        question.takes.forEach(function (box) { box.checked = false; });
      } else if (question.takes.includes(event.target) && event.target.checked) {
        question.reject.checked = false;
      }
      show();
    });
    question.note.addEventListener("input", show);
  });
  save.addEventListener("click", function () {
    var file = { format: 1, batch: batch, by: line(by.value), decisions: decisions() };
    var link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify(file, null, 1) + "\n"], { type: "application/json" }));
    link.download = "decisions.json";
    link.click();
    setTimeout(function () { URL.revokeObjectURL(link.href); }, 60000);
    said.textContent = "Saved: decisions.json";
  });
  function copyByHand() {
    getSelection().selectAllChildren(command);
    said.textContent = document.execCommand("copy") ? "Copied" : "Selected: copy it from here";
  }
  copy.addEventListener("click", function () {
    if (!navigator.clipboard) {
      copyByHand();
      return;
    }
    navigator.clipboard.writeText(command.textContent).then(function () { said.textContent = "Copied"; }, copyByHand);
  });
  by.addEventListener("input", show);
  bar.hidden = false;
  show();
})();
