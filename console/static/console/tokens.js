// The page that shows a token is the answer to a form. Reloaded, it shall not be sent again.
"use strict";
history.replaceState(null, "", location.href);
